//! Two services and their customers: three processes, and one trace through all of them.
//!
//! ```text
//! driver.rs         the customers, with the receiver that stands in for Sentry; starts and ends all others
//!   shop.rs         a service: axum, sqlx, redis, and reqwest to ask the other one
//!     stock.rs      the other service: axum and sqlx
//!     cache.rs      a Redis, where the program `redis-server` is installed
//! ```
//!
//! `shop.rs` and `stock.rs` are what a service looks like; `service.rs` is how one begins and ends. All else is here so that
//! `cargo run --release --example shop` needs nothing else.
#![forbid(unsafe_code)]

mod cache;
mod driver;
mod picture;
mod process;
mod service;
mod shop;
mod stock;

use std::error::Error;
use std::process::ExitCode;

// Once in a crate, at its root: it brings `span!` into scope.
span_runtime::lifecycle!(stream);

const HELP: &str = "\
Runs two services in processes of their own, lets customers visit them, and shows the spans of all as one trace.

Usage: shop [--without-redis]

  --without-redis  runs the shop without its cache. By default the cache is the Redis that the environment variable
                   REDIS_URL names, or else one that is started here, if `redis-server` is on the PATH
  --help           prints this

Exit codes: 0; 1 if anything went wrong, a span was lost or a trace is in pieces; 2 for a wrong argument.
";

/// What went wrong, in words.
type Failed = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => driver::run(true),
        ["--without-redis"] => driver::run(false),
        ["--help"] => {
            print!("{HELP}");
            Ok(())
        }
        [shop::ROLE] => service::run(shop::ROLE, shop::router),
        [stock::ROLE] => service::run(stock::ROLE, stock::router),
        [cache::ROLE] => cache::run(),
        _ => {
            eprintln!("error: unknown arguments {arguments:?}; --help lists those that there are");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
