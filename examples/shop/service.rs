//! What both services have in common: how one begins and ends, its database, and how it refuses.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use span_integrations::sqlx::{Traced, traced};
use span_runtime::{Options, current_span};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Failed;

/// How long the end may take, where spans are still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until standard input ends, and then what is still asked for. The first line that it prints is its address, the last what
/// became of its spans.
pub(crate) fn run(name: &str, router: impl AsyncFnOnce() -> Result<Router, Failed>) -> Result<(), Failed> {
    // `SENTRY_DSN` says where to send.
    let options = Options::from_env().traces_sample_rate(1.0).release(format!("{name}@{}", env!("CARGO_PKG_VERSION")));
    let spans = span_runtime::init(options)?;
    span_integrations::panic::install();

    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        // Behind the routes, so that its spans are named by them.
        let router = router().await?.layer(span_integrations::axum::layer());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);

        axum::serve(listener, router).with_graceful_shutdown(input_ends()).await?;
        Ok::<(), Failed>(())
    })?;

    // Most programs just let the guard drop; this one tells the numbers.
    let (_, stats) = spans.close(PATIENCE);
    // Who reads it may have gone.
    _ = writeln!(io::stdout(), "{stats}");
    Ok(())
}

/// The driver holds the other end of standard input: however it ends, this comes to know it.
async fn input_ends() {
    let (ending, ended) = oneshot::channel::<()>();
    // Not a task: such a read cannot be cancelled, and would keep the runtime from ending.
    std::thread::spawn(move || {
        _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(ending);
    });
    _ = ended.await;
}

pub(crate) type Database = Traced<SqlitePool>;

/// A database in memory, with these tables in it.
pub(crate) async fn database(tables: &'static str) -> Result<Database, Failed> {
    const URL: &str = "sqlite::memory:";
    // It lives as long as its one connection.
    let options = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let pool = options.connect(URL).await?;
    sqlx::raw_sql(tables).execute(&pool).await?;
    Ok(traced(pool).at(URL))
}

/// Why a request is not granted.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Refused { status, why: why.into() }
    }
}

/// Any other error is a fault of the service: the span knows more about it, its caller no more than that.
impl<E: Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        span_integrations::error::record(&current_span(), &error);
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, self.why).into_response()
    }
}
