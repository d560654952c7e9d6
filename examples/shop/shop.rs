//! The first service: has items with prices, which it keeps in a cache, and takes orders.

use std::env;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use reqwest::Client;
use span_integrations::redis::{Traced, traced};
use span_integrations::reqwest::Traced as _;
use span_runtime::prelude::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::Failed;
use crate::service::{Database, Refused, database};
use crate::stock::Reservation;

pub(crate) const ROLE: &str = "shop";

/// As many items as the stock has shelves for.
const TABLES: &str = "
    CREATE TABLE item (id INTEGER PRIMARY KEY, price INTEGER NOT NULL);
    CREATE TABLE sale (id INTEGER PRIMARY KEY, item INTEGER NOT NULL, count INTEGER NOT NULL, total INTEGER NOT NULL);
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 120)
    INSERT INTO item (id, price) SELECT n, 100 + 7 * n FROM number;
";

/// What the keys in the cache begin with.
const KEYS: &str = "shop-example:";

/// The report leaves the stock time for its customers.
const BETWEEN_LINES: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
struct Shop {
    database: Database,
    cache: Option<Traced<MultiplexedConnection>>,
    client: Client,
}

pub(crate) async fn router() -> Result<Router, Failed> {
    // Stands in for the names of a cluster: `http://stock` is the service at this address.
    let stock = env::var("STOCK_ADDR")?.parse()?;
    let client = Client::builder().no_proxy().resolve("stock", stock).build()?;
    let cache = match env::var("REDIS_URL") {
        Ok(url) => {
            let connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
            Some(traced(connection).at(&url).cache([KEYS]))
        }
        Err(_) => None,
    };
    let routes = Router::new()
        .route("/items/{id}", get(item))
        .route("/orders", post(order))
        .route("/reports/stock", get(report));
    Ok(routes.with_state(Shop { database: database(TABLES).await?, cache, client }))
}

/// The price of an item, and how many there are.
async fn item(State(shop): State<Shop>, Path(item): Path<i64>) -> Result<Json<(i64, i64)>, Refused> {
    Ok(Json((shop.price(item).await?, shop.in_stock(item).await?)))
}

/// Takes an order, and answers what it costs.
async fn order(State(shop): State<Shop>, Json(wanted): Json<Reservation>) -> Result<(StatusCode, Json<i64>), Refused> {
    let total = wanted.count * shop.price(wanted.item).await?;
    shop.reserve(wanted).await?;
    // The handler runs in the span of the request, `POST /orders`.
    current_span().set_attribute("order.total", total);
    let sale = sqlx::query("INSERT INTO sale (item, count, total) VALUES (?, ?, ?)");
    sale.bind(wanted.item).bind(wanted.count).bind(total).execute(&shop.database).await?;
    Ok((StatusCode::CREATED, Json(total)))
}

/// What is in stock of each item, line by line as the answers come. The span of the request ends with the last line.
async fn report(State(shop): State<Shop>) -> Result<Body, Refused> {
    let items: Vec<i64> = sqlx::query_scalar("SELECT id FROM item").fetch_all(&shop.database).await?;
    let (lines, body) = mpsc::channel(1);
    // The task has what is current here, so that its spans are below the request's.
    span_integrations::tokio::spawn(async move {
        let mut pace = tokio::time::interval(BETWEEN_LINES);
        for item in items {
            pace.tick().await;
            let count = shop.in_stock(item).await;
            let line = count.map(|count| format!("{item},{count}\n")).map_err(|refused| io::Error::other(refused.why));
            if lines.send(line).await.is_err() {
                return; // who asked for it has gone
            }
        }
    });
    Ok(Body::from_stream(ReceiverStream::new(body)))
}

impl Shop {
    /// The price of an item, from the cache if it is there.
    #[span(name = "price", attributes("item.id" = item))]
    async fn price(&self, item: i64) -> Result<i64, Refused> {
        let key = format!("{KEYS}{item}");
        let mut cache = self.cache.clone();
        // A cache that fails is as good as none: its spans tell.
        if let Some(cache) = &mut cache
            && let Ok(Some(price)) = cache.get(&key).await
        {
            return Ok(price);
        }
        let price = sqlx::query_scalar("SELECT price FROM item WHERE id = ?").bind(item);
        let Some(price) = price.fetch_optional(&self.database).await? else {
            return Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no item {item}")));
        };
        if let Some(cache) = &mut cache {
            _ = cache.set_ex::<_, _, ()>(&key, price, 60).await;
        }
        Ok(price)
    }

    /// How many pieces of an item the stock has.
    async fn in_stock(&self, item: i64) -> Result<i64, Refused> {
        let answer = self.client.get(format!("http://stock/items/{item}")).send_traced().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Has the stock lay pieces aside; its refusal is ours.
    #[span(name = "reserve", attributes("item.count" = wanted.count))]
    async fn reserve(&self, wanted: Reservation) -> Result<(), Refused> {
        let answer = self.client.post("http://stock/reservations").json(&wanted).send_traced().await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Refused::new(status, answer.text().await?));
        }
        let shelves: i64 = answer.json().await?;
        current_span().set_attribute("shelves", shelves);
        Ok(())
    }
}
