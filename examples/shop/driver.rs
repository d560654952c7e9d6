//! The customers, and the receiver that stands in for Sentry: what makes the example a program that starts by itself and ends.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use reqwest::{Client, Response, StatusCode};
use span_integrations::reqwest::Traced as _;
use span_integrations::tokio::JoinSet;
use span_runtime::prelude::*;
use span_runtime::testing::Receiver;

use crate::Failed;
use crate::picture::Picture;
use crate::process::Process;
use crate::stock::Reservation;
use crate::{cache, shop, stock};

pub(crate) const NAME: &str = "customers";

/// They come at the same time, and each comes so many times.
const CUSTOMERS: i64 = 8;
const VISITS: i64 = 25;
const BETWEEN_VISITS: Duration = Duration::from_millis(200);

/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the services, drives load, ends them, and prints what came of it.
pub(crate) fn run(with_redis: bool) -> Result<(), Failed> {
    let receiver = Receiver::start()?;
    let dsn = receiver.dsn();
    println!("The spans go to a receiver in this program, at {}.", receiver.addr());

    let (redis, redis_url) = start_redis(with_redis)?;
    let stock = Process::start(stock::ROLE, &[("SENTRY_DSN", &dsn)])?;
    println!("stock is process {}, at {}", stock.id(), stock.ready);
    let mut variables = vec![("SENTRY_DSN", dsn.as_str()), ("STOCK_ADDR", &stock.ready)];
    variables.extend(redis_url.as_deref().map(|url| ("REDIS_URL", url)));
    let shop = Process::start(shop::ROLE, &variables)?;
    println!("shop is process {}, at {}", shop.id(), shop.ready);

    let options = Options::from_env().dsn(&dsn).traces_sample_rate(1.0);
    let spans = span_runtime::init(options.release(format!("{NAME}@{}", env!("CARGO_PKG_VERSION"))))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (first, report) = runtime.block_on(load(shop.ready.parse()?))?;
    let (_, stats) = spans.close(PATIENCE);
    let stats = [(NAME, stats.to_string()), (shop::ROLE, shop.end()?), (stock::ROLE, stock.end()?)];
    drop(redis);

    let picture = Picture::new(&receiver);
    picture.print_report(&report);
    picture.print_trace(&first);
    picture.print_numbers(&stats)
}

/// A Redis for the shop, if there is any: the process, where it is ours, and the URL.
fn start_redis(with_redis: bool) -> Result<(Option<Process>, Option<String>), Failed> {
    if !with_redis {
        println!("The shop runs without a cache, as it was asked to.");
        return Ok((None, None));
    }
    if let Some(url) = env::var("REDIS_URL").ok().filter(|url| !url.is_empty()) {
        println!("redis is the one of REDIS_URL");
        return Ok((None, Some(url)));
    }
    if !cache::is_installed() {
        println!("The shop runs without a cache: there is no REDIS_URL, and no redis-server on the PATH.");
        return Ok((None, None));
    }
    let redis = Process::start(cache::ROLE, &[])?;
    println!("redis is below process {}, on a socket of its own", redis.id());
    let url = redis.ready.clone();
    Ok((Some(redis), Some(url)))
}

/// A trace, and when its root was there.
pub(crate) struct Timed {
    pub(crate) trace_id: String,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
}

/// Drives the load. One visit comes before all others, so that its prices are in no cache; while others come, a report is made.
async fn load(shop: SocketAddr) -> Result<(Timed, Timed), Failed> {
    let client = Client::builder().no_proxy().resolve("shop", shop).build()?;
    let mut answers = BTreeMap::new();
    let first = timed(visit(&client, Reservation { item: 42, count: 12 }, &mut answers)).await?;

    let mut customers = JoinSet::new();
    for customer in 0..CUSTOMERS {
        customers.spawn(come(client.clone(), customer));
    }
    let report = timed(read_report(&client)).await?;
    for counts in customers.join_all().await {
        for (answer, count) in counts? {
            *answers.entry(answer).or_default() += count;
        }
    }
    println!("\n{CUSTOMERS} customers, each {VISITS} times, and one before them:");
    for ((request, status), count) in answers {
        println!("{count:>5} × {request} → {status}");
    }
    Ok((first, report))
}

/// How many requests were answered how.
type Answers = BTreeMap<(&'static str, StatusCode), u32>;

/// What a customer does.
async fn come(client: Client, customer: i64) -> reqwest::Result<Answers> {
    let mut answers = Answers::new();
    for number in 0..VISITS {
        let wanted = match number % 5 {
            // Nobody has it, ...
            2 => Reservation { item: 999, count: 1 },
            // ... everybody wants it, ...
            4 => Reservation { item: 7, count: 4 },
            // ... and all others are there.
            _ => Reservation { item: 8 + (customer * VISITS + number) % 100, count: 1 },
        };
        visit(&client, wanted, &mut answers).await?;
        tokio::time::sleep(BETWEEN_VISITS).await;
    }
    Ok(answers)
}

/// Looks at an item, and orders it if there is such a thing. Nothing is current here, so each visit begins a trace.
#[span(name = "visit", attributes("item.id" = wanted.item))]
async fn visit(client: &Client, wanted: Reservation, answers: &mut Answers) -> reqwest::Result<String> {
    let item = client.get(format!("http://shop/items/{}", wanted.item)).send_traced().await?;
    if read("GET /items/{id}", item, answers).await?.is_success() {
        let order = client.post("http://shop/orders").json(&wanted).send_traced().await?;
        read("POST /orders", order, answers).await?;
    }
    Ok(trace_id())
}

/// Reads an answer to its end, with which its span ends.
async fn read(request: &'static str, answer: Response, answers: &mut Answers) -> reqwest::Result<StatusCode> {
    let status = answer.status();
    answer.bytes().await?;
    *answers.entry((request, status)).or_default() += 1;
    Ok(status)
}

/// Reads a long report, line by line as it is made.
#[span(name = "read report")]
async fn read_report(client: &Client) -> reqwest::Result<String> {
    let mut report = client.get("http://shop/reports/stock").send_traced().await?.error_for_status()?;
    let mut lines = 0;
    while let Some(part) = report.chunk().await? {
        lines += part.iter().filter(|&&byte| byte == b'\n').count();
    }
    current_span().set_attribute("report.lines", lines);
    Ok(trace_id())
}

fn trace_id() -> String {
    current_span().trace_id().map(|id| id.to_string()).unwrap_or_default()
}

/// When what has a trace of its own began and ended.
async fn timed(work: impl Future<Output = reqwest::Result<String>>) -> reqwest::Result<Timed> {
    let began = SystemTime::now();
    let trace_id = work.await?;
    Ok(Timed { trace_id, began, ended: SystemTime::now() })
}
