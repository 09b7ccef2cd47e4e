//! Every statement finds its rows by an index.

use sqlx::AssertSqlSafe;

use super::*;
use crate::meta::{blob, list, manifest, repository, statement::Statement, tag};

const STATEMENTS: &[&str] = &[
    blob::SQL_LINKED,
    blob::SQL_SIZE,
    blob::SQL_PROJECTS,
    blob::SQL_PUT,
    blob::SQL_LINK,
    list::SQL_GET,
    list::SQL_PUT,
    manifest::SQL_GET,
    manifest::SQL_PUT,
    manifest::SQL_REFERENCE,
    manifest::SQL_REFERENCED_SIZED,
    manifest::SQL_REFERENCED,
    manifest::SQL_KNOWN,
    manifest::SQL_REFERRERS,
    manifest::SQL_DELETE_TAGS,
    manifest::SQL_DELETE_REFERENCES,
    manifest::SQL_DELETE,
    manifest::SQL_DELETE_UNUSED_BLOB,
    repository::SQL_GET,
    repository::SQL_PUT,
    repository::SQL_RANGE,
    repository::SQL_NEXT,
    tag::SQL_GET,
    tag::SQL_ALL,
    tag::SQL_PUT,
    tag::SQL_ARRIVED,
    tag::SQL_DELETE,
];

async fn plan(meta: &Meta, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows: Vec<(i64, i64, i64, String)> = meta.fetch_all(Statement::new(explain)).await.unwrap();
    rows.into_iter().map(|row| row.3).collect()
}

#[tokio::test]
async fn no_statement_scans_a_table_or_a_repository_or_sorts() {
    let Database {
        meta,
        folder: _folder,
    } = Database::new().await;
    for sql in STATEMENTS {
        for step in plan(&meta, sql).await {
            // All rows of one repository are read where all are wanted, and nowhere else. (A repository's own row
            // asks for the first row that has it as foreign key, should its id change.)
            let whole_repository = [tag::SQL_ALL, repository::SQL_PUT].contains(sql);
            let bad = step.starts_with("SCAN")
                || step.contains("TEMP B-TREE")
                || step.contains("AUTOMATIC")
                || (step.contains("(repository_id=?)") && !whole_repository);
            assert!(!bad, "{step}\n  in {sql}");
        }
    }
}

#[tokio::test]
async fn foreign_keys_are_checked_by_an_index() {
    let Database {
        meta,
        folder: _folder,
    } = Database::new().await;
    for sql in [
        "SELECT 1 FROM link WHERE digest = $1",
        "SELECT 1 FROM manifest WHERE digest = $1",
        "SELECT 1 FROM reference WHERE repository_id = $1 AND parent = $2",
    ] {
        let plan = plan(&meta, sql).await;
        assert!(
            plan.iter().all(|step| step.starts_with("SEARCH")),
            "{plan:?}\n  in {sql}"
        );
    }
}

#[test]
fn every_statement_is_in_the_list() {
    let sources = [
        include_str!("../blob.rs"),
        include_str!("../list.rs"),
        include_str!("../manifest.rs"),
        include_str!("../repository.rs"),
        include_str!("../tag.rs"),
    ];
    let constants: usize = sources
        .iter()
        .map(|source| source.matches("const SQL_").count())
        .sum();
    assert_eq!(constants, STATEMENTS.len());
}

#[tokio::test]
async fn a_page_of_a_million_repositories_is_read_by_range() {
    let database = Database::new().await;
    run(
        &mut database.outside().await,
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
