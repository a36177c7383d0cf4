//! Running statements. Each is prepared once for each connection, by its text.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::store::postgres::engine::error::{DbResult, fault};

/// A connection.
pub(crate) type Conn = ClientWrapper;

/// The values of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Statements that are prepared once. Two that are polled together are sent together (pipelining).
pub(crate) trait Statements {
    /// All rows.
    async fn rows(&self, sql: &str, params: Params<'_>) -> DbResult<Vec<Row>>;
    /// The first row, if there is any.
    async fn row_opt(&self, sql: &str, params: Params<'_>) -> DbResult<Option<Row>>;
    /// The one row.
    async fn row(&self, sql: &str, params: Params<'_>) -> DbResult<Row>;
    /// How many rows it changed.
    async fn run(&self, sql: &str, params: Params<'_>) -> DbResult<u64>;
    /// Statements without values, not prepared.
    async fn script(&self, sql: &str) -> DbResult<()>;
}

impl Statements for Conn {
    async fn rows(&self, sql: &str, params: Params<'_>) -> DbResult<Vec<Row>> {
        let statement = self.prepare_cached(sql).await?;
        Ok(self.query(&statement, params).await?)
    }

    async fn row_opt(&self, sql: &str, params: Params<'_>) -> DbResult<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    async fn row(&self, sql: &str, params: Params<'_>) -> DbResult<Row> {
        self.row_opt(sql, params).await?.ok_or_else(|| fault(format!("no row: {sql}")))
    }

    async fn run(&self, sql: &str, params: Params<'_>) -> DbResult<u64> {
        let statement = self.prepare_cached(sql).await?;
        Ok(self.execute(&statement, params).await?)
    }

    async fn script(&self, sql: &str) -> DbResult<()> {
        Ok(self.batch_execute(sql).await?)
    }
}

/// Makes this transaction plan each statement with its values: then the partitions outside of their ids are neither
/// opened nor locked. Statements here go along indexes for a few rows each, whatever the statistics say.
pub(crate) async fn plan_by_values(conn: &Conn) -> DbResult<()> {
    conn.script(
        "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off",
    )
    .await
}
