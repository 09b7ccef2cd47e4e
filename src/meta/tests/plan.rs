//! Every statement finds its rows by an index, and has the types that both databases know.

use sqlx::{AssertSqlSafe, Column, Either, Executor, SqlSafeStr, Statement as _, TypeInfo};

use super::statements::{STATEMENTS, WHOLE, WHOLE_REPOSITORY};
use super::*;

async fn plan(meta: &Meta, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows: Vec<(i64, i64, i64, String)> = meta.fetch_all(Statement::new(explain)).await.unwrap();
    rows.into_iter().map(|row| row.3).collect()
}

#[tokio::test]
async fn no_statement_scans_a_table_or_a_repository_or_sorts() {
    let database = Database::sqlite().await;
    for sql in STATEMENTS.iter().filter(|sql| !WHOLE.contains(sql)) {
        for step in plan(&database.meta, sql).await {
            // All rows of one repository are read where all are wanted, and nowhere else. (A repository's own row
            // asks for the first row that has it as foreign key, should its id change.)
            let whole_repository = WHOLE_REPOSITORY.contains(sql);
            // A SELECT that reads no table has one row, of constants.
            let bad = (step.starts_with("SCAN") && step != "SCAN CONSTANT ROW")
                || step.contains("TEMP B-TREE")
                || step.contains("AUTOMATIC")
                || (step.contains("(repository_id=?)") && !whole_repository);
            assert!(!bad, "{step}\n  in {sql}");
        }
    }
}

#[tokio::test]
async fn on_postgresql_every_statement_takes_and_gives_the_few_types_that_we_bind_and_read() {
    let database = Database::postgres().await;
    let mut outside = database.outside().await;
    let Connection::Postgres(connection) = &mut *outside else {
        panic!("this is no PostgreSQL");
    };
    for sql in STATEMENTS {
        let prepared = connection.prepare(AssertSqlSafe(*sql).into_sql_str()).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("{error}\n  in {sql}"));
        let Some(Either::Left(taken)) = prepared.parameters() else {
            panic!("the parameters of PostgreSQL have types");
        };
        let given = prepared.columns().iter().map(Column::type_info);
        for kind in taken.iter().chain(given) {
            let known = ["INT8", "TEXT", "BOOL", "BYTEA"].contains(&kind.name());
            assert!(known, "{}\n  in {sql}", kind.name());
        }
    }
}

#[test]
fn each_migration_has_a_twin_in_the_other_database() {
    let names = |migrations: &sqlx::migrate::Migrator| -> Vec<_> {
        let migrations = migrations.iter();
        let name = |migration: &sqlx::migrate::Migration| {
            (migration.version, migration.description.to_string())
        };
        migrations.map(name).collect()
    };
    let (sqlite, postgres) = (
        &*crate::meta::sqlite::MIGRATIONS,
        &*crate::meta::postgres::MIGRATIONS,
    );
    assert_eq!(names(sqlite), names(postgres));
}

#[tokio::test]
async fn foreign_keys_are_checked_by_an_index() {
    let database = Database::sqlite().await;
    for sql in [
        "SELECT 1 FROM link WHERE digest = $1",
        "SELECT 1 FROM manifest WHERE digest = $1",
        "SELECT 1 FROM reference WHERE repository_id = $1 AND parent = $2",
    ] {
        let plan = plan(&database.meta, sql).await;
        assert!(
            plan.iter().all(|step| step.starts_with("SEARCH")),
            "{plan:?}\n  in {sql}"
        );
    }
}

#[tokio::test]
async fn a_page_of_a_million_repositories_is_read_by_range() {
    let database = Database::sqlite().await;
    run(
        &mut *database.outside().await,
        "INSERT INTO repository (name, project, has_content) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) \
         SELECT printf('p%d/r%06d', i % 2, i), printf('p%d', i % 2), TRUE FROM n",
    )
    .await;
    let projects: Vec<_> = (1..5000).map(|index| format!("p{index}")).collect();
    let page = database
        .meta
        .repositories(&projects, Some("p1/r500000"), 3)
        .await
        .unwrap();
    let texts: Vec<_> = page.iter().map(Name::as_str).collect();
    assert_eq!(texts, ["p1/r500001", "p1/r500003", "p1/r500005"]);
    let last = database
        .meta
        .repositories(&projects, Some("p1/r999999"), 3)
        .await
        .unwrap();
    assert_eq!(last, []);
    // A few queries, not one for each project.
    assert!(
        database.meta.reads() < 10,
        "{} reads",
        database.meta.reads()
    );
}
