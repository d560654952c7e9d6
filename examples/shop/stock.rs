//! The second service: knows what lies on which shelf, and reserves it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use span_runtime::prelude::*;

use crate::Failed;
use crate::service::{Database, Refused, database};

pub(crate) const ROLE: &str = "stock";

/// Each item lies on three shelves, ten pieces on each.
const TABLES: &str = "
    CREATE TABLE shelf (id INTEGER PRIMARY KEY, item INTEGER NOT NULL, pieces INTEGER NOT NULL);
    CREATE INDEX shelf_item ON shelf (item);
    WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 359)
    INSERT INTO shelf (item, pieces) SELECT n / 3 + 1, 10 FROM number;
";

/// What is to be reserved.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) item: i64,
    pub(crate) count: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct Shelf {
    id: i64,
    pieces: i64,
}

pub(crate) async fn router() -> Result<Router, Failed> {
    let routes = Router::new().route("/items/{id}", get(pieces_of)).route("/reservations", post(reserve));
    Ok(routes.with_state(database(TABLES).await?))
}

/// How many pieces of an item there are.
async fn pieces_of(State(stock): State<Database>, Path(item): Path<i64>) -> Result<Json<i64>, Refused> {
    let sum = "SELECT coalesce(sum(pieces), 0) FROM shelf WHERE item = ?";
    Ok(Json(sqlx::query_scalar(sum).bind(item).fetch_one(&stock).await?))
}

/// Takes pieces from the shelves, and answers from how many of these.
async fn reserve(State(stock): State<Database>, Json(wanted): Json<Reservation>) -> Result<Json<usize>, Refused> {
    let mut transaction = stock.begin().await?;
    let shelves = "SELECT id, pieces FROM shelf WHERE item = ? AND pieces > 0";
    let shelves = sqlx::query_as(shelves).bind(wanted.item).fetch_all(&mut transaction).await?;
    let picks = pick(shelves, wanted)?;
    for (shelf, count) in &picks {
        let take = sqlx::query("UPDATE shelf SET pieces = pieces - ? WHERE id = ?").bind(count).bind(shelf);
        take.execute(&mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(Json(picks.len()))
}

/// Chooses shelves and how many pieces to take from each: from the fullest first, so that the ways are short.
#[span(name = "pick shelves", attributes("item.id" = wanted.item, "item.count" = wanted.count))]
fn pick(mut shelves: Vec<Shelf>, wanted: Reservation) -> Result<Vec<(i64, i64)>, Refused> {
    shelves.sort_by_key(|shelf| (-shelf.pieces, shelf.id));
    let (mut picks, mut missing) = (Vec::new(), wanted.count);
    for Shelf { id, pieces } in shelves {
        let count = pieces.min(missing);
        if count > 0 {
            picks.push((id, count));
            missing -= count;
        }
    }
    current_span().set_attribute("shelves", picks.len());
    if missing > 0 {
        let why = format!("{missing} pieces too few of item {}", wanted.item);
        return Err(Refused::new(StatusCode::CONFLICT, why));
    }
    Ok(picks)
}
