//! Every statement finds its rows by an index, and has the types that both databases know.

use sqlx::{AssertSqlSafe, Column, Either, Executor, SqlSafeStr, Statement as _, TypeInfo};

use super::*;
use crate::meta::{
    account, announcement, audit, blob, browse, candidate, delete, delivery, entry, event, evict,
    execution, filled, held, image, label, lease, list, manifest, member, object, orphans, pin,
    presence, project, pushed, remote, remote_state, repository, retention, revision, rule, settle,
    signing, tag, task, token, upload, upload_work, uses,
};

const STATEMENTS: &[&str] = &[
    account::SQL_COUNT,
    account::SQL_GET,
    account::SQL_PAGE,
    account::SQL_PUT,
    account::SQL_SET_RIGHTS,
    account::SQL_SET_PASSWORD,
    account::SQL_DELETE,
    audit::SQL_PUT,
    audit::SQL_COUNT,
    audit::SQL_PAGE,
    audit::SQL_EXPIRED,
    audit::SQL_DELETE,
    announcement::SQL_PUT,
    announcement::SQL_AFTER,
    announcement::SQL_NEWEST,
    announcement::SQL_DELETE_PAST,
    blob::SQL_LINKED,
    browse::SQL_TAGS,
    blob::SQL_SIZE,
    blob::SQL_HOLDERS,
    blob::SQL_PUT,
    blob::SQL_LINK,
    delete::SQL_TARGET,
    delete::SQL_DELETE_TAG,
    delete::SQL_SEEDED,
    delete::SQL_TAGS_OF,
    delete::SQL_SEEDED_BLOB,
    delete::SQL_REFERRERS,
    delete::SQL_LOOSEN,
    delete::SQL_DELETE_LINK,
    delete::SQL_SOME_TAGS,
    delete::SQL_SOME_MANIFESTS,
    delete::SQL_SOME_LINKS,
    delete::SQL_DELETE_LISTS,
    delete::SQL_DELETE_PINS,
    evict::SQL_ROOTS,
    evict::SQL_USED_WHEN_CREATED,
    image::SQL_HERE,
    image::SQL_INDEXES,
    image::SQL_BELOW,
    image::SQL_BLOBS,
    image::SQL_STAYS,
    image::SQL_DELETE_TAGS,
    image::SQL_DELETE_LINKS,
    image::SQL_DELETE_REFERENCES,
    image::SQL_DELETE_MANIFEST,
    image::SQL_DELETE_ITSELF,
    evict::SQL_DELETE_LOOSE,
    evict::SQL_LOOSE,
    image::SQL_LEFT_PROJECT,
    image::SQL_DELETE_BLOB,
    image::SQL_GONE_PUT,
    image::SQL_EMPTY,
    entry::SQL_TAGS,
    entry::SQL_TAG_COUNT,
    entry::SQL_HELD,
    entry::SQL_PARTS,
    entry::SQL_KEPT,
    label::SQL_GET,
    label::SQL_PUT,
    label::SQL_DELETE,
    lease::SQL_TAKE,
    lease::SQL_GET,
    lease::SQL_RELEASE,
    lease::SQL_RENEW,
    lease::SQL_OF,
    lease::SQL_DELETE_OF,
    lease::SQL_DELETE_PAST,
    list::SQL_GET,
    list::SQL_PUT,
    manifest::SQL_GET,
    manifest::SQL_PUT,
    manifest::SQL_REFERENCE,
    manifest::SQL_REFERENCED_SIZED,
    manifest::SQL_REFERENCED,
    manifest::SQL_KNOWN,
    manifest::SQL_REFERRERS,
    object::SQL_GET,
    object::SQL_LOCAL,
    object::SQL_KNOWN,
    object::SQL_STORED,
    object::SQL_ABANDON,
    object::SQL_PUT,
    object::SQL_ALIVE,
    object::SQL_TAKE,
    object::SQL_NAME,
    object::SQL_LOSE,
    object::SQL_DUE,
    object::SQL_FORGET,
    member::SQL_NOW,
    member::SQL_BEAT,
    member::SQL_LIVE,
    member::SQL_SAME_PLACE,
    member::SQL_DELETE,
    member::SQL_DELETE_PAST,
    orphans::SQL_LOOSE,
    orphans::SQL_FRESH,
    orphans::SQL_UPLOAD,
    orphans::SQL_DELETE,
    orphans::SQL_TOUCHED,
    orphans::SQL_RENEW,
    orphans::SQL_BLOBS,
    orphans::SQL_OLD,
    presence::SQL_USAGE,
    presence::SQL_USAGE_OF,
    presence::SQL_USAGE_KEPT,
    presence::SQL_GONE,
    presence::SQL_GONE_DELETE,
    presence::SQL_LINKED_IN,
    presence::SQL_UNLINK,
    pin::SQL_PUT,
    pin::SQL_DELETE,
    pin::SQL_GET,
    pin::SQL_TAG,
    project::SQL_ALL,
    project::SQL_INSERT,
    project::SQL_PUT,
    project::SQL_DELETE,
    remote::SQL_ALL,
    remote::SQL_INSERT,
    remote::SQL_PUT,
    remote::SQL_DELETE,
    revision::SQL_GET,
    revision::SQL_NEXT,
    repository::SQL_CREATE,
    repository::SQL_ROW,
    repository::SQL_FORGET,
    repository::SQL_VISIBILITY,
    repository::SQL_VISIBILITIES,
    repository::SQL_CONTAINING,
    remote_state::SQL_PUT,
    remote_state::SQL_SINCE,
    remote_state::SQL_DELETE_PAST,
    pushed::SQL_LINK,
    pushed::SQL_LINKED,
    pushed::SQL_REPOSITORIES,
    pushed::SQL_NAMED,
    pushed::SQL_SEEDED,
    pushed::SQL_TAGGED,
    retention::SQL_PUSHED,
    retention::SQL_PINNED,
    retention::SQL_DUE,
    retention::SQL_WANTED,
    retention::SQL_FALLBACK,
    repository::SQL_GET,
    repository::SQL_PUT,
    repository::SQL_RANGE,
    repository::SQL_NEXT,
    signing::SQL_GET,
    signing::SQL_PUT,
    signing::SQL_REPLACE,
    tag::SQL_GET,
    tag::SQL_SINCE,
    tag::SQL_PUT,
    tag::SQL_ARRIVED,
    tag::SQL_DELETE,
    token::SQL_COUNT,
    token::SQL_COUNT_OF,
    token::SQL_GET,
    token::SQL_BY_ID,
    token::SQL_PAGE,
    token::SQL_PAGE_OF,
    token::SQL_PUT,
    token::SQL_DELETE,
    token::SQL_DELETE_OF,
    tag::SQL_PAGE,
    candidate::SQL_PAGE,
    candidate::SQL_ONE,
    candidate::SQL_PRESENT,
    candidate::SQL_SUBJECTS,
    candidate::SQL_TAGS_OF,
    candidate::SQL_BYTES,
    delivery::SQL_GET,
    delivery::SQL_PUT,
    delivery::SQL_DELETE,
    delivery::SQL_PAGE,
    delivery::SQL_FORGET,
    event::SQL_PUT,
    event::SQL_AFTER,
    event::SQL_NEWEST,
    event::SQL_EXPIRED,
    event::SQL_DELETE,
    execution::SQL_PUT,
    execution::SQL_GET,
    execution::SQL_PAGE,
    execution::SQL_PAGE_OF,
    execution::SQL_COUNT,
    execution::SQL_COUNT_OF,
    settle::SQL_HOLD,
    settle::SQL_KEEP,
    settle::SQL_STATUS,
    settle::SQL_END,
    execution::SQL_OPEN,
    execution::SQL_BEGUN,
    settle::SQL_AGAIN,
    settle::SQL_EXPIRED,
    settle::SQL_DELETE_LOGS,
    settle::SQL_DELETE_TASKS,
    settle::SQL_DELETE,
    filled::SQL_IS_IMAGE,
    filled::SQL_CHILDREN,
    filled::SQL_NAMING,
    filled::SQL_TAGS,
    rule::SQL_ALL,
    rule::SQL_GET,
    rule::SQL_BY_ID,
    rule::SQL_INSERT,
    rule::SQL_REPLACE,
    rule::SQL_PASS,
    rule::SQL_DUE,
    rule::SQL_DELETE,
    task::SQL_PUT,
    task::SQL_GET,
    task::SQL_PAGE,
    task::SQL_PAGE_OF,
    task::SQL_COUNTS,
    task::SQL_REPOSITORIES,
    task::SQL_COUNT_OF,
    held::SQL_QUEUE,
    held::SQL_DUE,
    held::SQL_HOLD,
    held::SQL_MEMBERS,
    held::SQL_KEEP,
    held::SQL_END,
    held::SQL_LEFT,
    task::SQL_BEHIND,
    task::SQL_LAST_SUCCESS,
    task::SQL_ANY_OPEN,
    task::SQL_ANY_OF,
    task::SQL_RELEASE,
    task::SQL_STOP_WAITING,
    task::SQL_STOP_RUNNING,
    task::SQL_RETRY,
    task::SQL_WAITING,
    task::SQL_TAKE_IN,
    held::SQL_LOG_LAST,
    held::SQL_LOG_PUT,
    held::SQL_LOG_DROP,
    held::SQL_LOG,
    upload::SQL_COUNT,
    upload::SQL_COUNT_OF,
    upload::SQL_PUT,
    upload::SQL_GET,
    upload::SQL_TOUCH,
    upload::SQL_DELETE,
    upload::SQL_FORGET,
    upload_work::SQL_HOLD,
    upload_work::SQL_LET_GO,
    upload_work::SQL_OBJECT,
    upload_work::SQL_BEGUN,
    upload_work::SQL_SAVE,
    uses::SQL_REPOSITORY,
    uses::SQL_IMAGES,
    uses::SQL_TOUCH,
    uses::SQL_TOUCH_LINK,
];

/// Sums and counts that read everything and are seldom made; tables that hold next to nothing; the few rows above a digest.
const WHOLE: &[&str] = &[
    account::SQL_COUNT,
    audit::SQL_COUNT,
    token::SQL_COUNT,
    lease::SQL_DELETE_PAST,
    member::SQL_NOW,
    member::SQL_LIVE,
    member::SQL_SAME_PLACE,
    member::SQL_DELETE_PAST,
    entry::SQL_TAG_COUNT,
    presence::SQL_USAGE,
    presence::SQL_USAGE_OF,
    presence::SQL_USAGE_KEPT,
    presence::SQL_GONE,
    upload::SQL_COUNT,
    event::SQL_EXPIRED,
    execution::SQL_COUNT,
    project::SQL_ALL,
    remote::SQL_ALL,
    repository::SQL_VISIBILITIES,
    rule::SQL_ALL,
    task::SQL_COUNTS,
    task::SQL_REPOSITORIES,
];

/// All of a repository, or the first few rows of it.
const WHOLE_REPOSITORY: &[&str] = &[
    delete::SQL_DELETE_LISTS,
    delete::SQL_DELETE_PINS,
    delete::SQL_SOME_LINKS,
    delete::SQL_SOME_MANIFESTS,
    delete::SQL_SOME_TAGS,
    image::SQL_EMPTY,
    repository::SQL_FORGET,
    repository::SQL_PUT,
    tag::SQL_SINCE,
];

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

#[test]
fn every_statement_is_in_the_list() {
    let sources = [
        include_str!("../account.rs"),
        include_str!("../audit.rs"),
        include_str!("../announcement.rs"),
        include_str!("../blob.rs"),
        include_str!("../delete.rs"),
        include_str!("../browse.rs"),
        include_str!("../candidate.rs"),
        include_str!("../entry.rs"),
        include_str!("../evict.rs"),
        include_str!("../image.rs"),
        include_str!("../label.rs"),
        include_str!("../lease.rs"),
        include_str!("../list.rs"),
        include_str!("../manifest.rs"),
        include_str!("../member.rs"),
        include_str!("../object.rs"),
        include_str!("../orphans.rs"),
        include_str!("../pin.rs"),
        include_str!("../presence.rs"),
        include_str!("../project.rs"),
        include_str!("../remote.rs"),
        include_str!("../pushed.rs"),
        include_str!("../remote_state.rs"),
        include_str!("../repository.rs"),
        include_str!("../retention.rs"),
        include_str!("../revision.rs"),
        include_str!("../signing.rs"),
        include_str!("../tag.rs"),
        include_str!("../token.rs"),
        include_str!("../upload.rs"),
        include_str!("../upload_work.rs"),
        include_str!("../delivery.rs"),
        include_str!("../event.rs"),
        include_str!("../execution.rs"),
        include_str!("../filled.rs"),
        include_str!("../rule.rs"),
        include_str!("../task.rs"),
        include_str!("../held.rs"),
        include_str!("../settle.rs"),
        include_str!("../uses.rs"),
    ];
    let constants: usize = sources
        .iter()
        .map(|source| source.matches("const SQL_").count())
        .sum();
    assert_eq!(constants, STATEMENTS.len());
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
