//! Repositories and links.

use bytes::Bytes;

use super::*;

on_both! {
    a_blob_is_visible_where_it_is_linked_and_nowhere_else,
    repositories_are_sorted_as_bytes_across_projects,
    pages_of_repositories_put_together_are_the_whole,
    a_repository_of_which_only_a_list_is_known_is_not_listed_before_it_has_content,
}

async fn names(meta: &Meta, projects: &[&str], after: Option<&str>, limit: u32) -> Vec<String> {
    let projects: Vec<_> = projects.iter().map(|&project| project.to_owned()).collect();
    let names = meta.repositories(&projects, after, limit).await.unwrap();
    names.iter().map(ToString::to_string).collect()
}

async fn make_repositories(meta: &Meta, all: &[&str]) {
    let all: Vec<_> = all.iter().map(|text| name(text)).collect();
    meta.blob_link(&all, &digest("blob"), 4).await.unwrap();
}

async fn a_blob_is_visible_where_it_is_linked_and_nowhere_else(database: Database) {
    let meta = &database.meta;
    let blob = digest("blob");
    let (one, two, three) = (name("p/one"), name("p/two"), name("p/three"));
    assert!(!meta.blob_linked(&one, &blob).await.unwrap());
    assert_eq!(meta.blob_size(&blob).await.unwrap(), None);
    for _ in 0..2 {
        meta.blob_link(&[one.clone(), two.clone()], &blob, 4)
            .await
            .unwrap();
        assert!(meta.blob_linked(&one, &blob).await.unwrap());
        assert!(meta.blob_linked(&two, &blob).await.unwrap());
        assert!(!meta.blob_linked(&three, &blob).await.unwrap());
        assert!(!meta.blob_linked(&one, &digest("other")).await.unwrap());
        assert_eq!(meta.blob_size(&blob).await.unwrap(), Some(4));
    }
}

async fn repositories_are_sorted_as_bytes_across_projects(database: Database) {
    let all = [
        "a", "a-b", "a-b/c", "a/b", "a/b-c", "a/b/c", "a0/x", "a.b/x", "b/x",
    ];
    let meta = &database.meta;
    make_repositories(meta, &all).await;
    let every = ["a", "a-b", "a0", "a.b", "b"];
    let sorted = [
        "a", "a-b", "a-b/c", "a.b/x", "a/b", "a/b-c", "a/b/c", "a0/x", "b/x",
    ];
    assert_eq!(names(meta, &every, None, 100).await, sorted);
    assert_eq!(
        names(meta, &["a"], None, 100).await,
        ["a", "a/b", "a/b-c", "a/b/c"]
    );
    assert_eq!(
        names(meta, &["b", "a-b", "b"], None, 100).await,
        ["a-b", "a-b/c", "b/x"]
    );
    assert_eq!(names(meta, &[], None, 100).await, [""; 0]);
    assert_eq!(names(meta, &every, None, 0).await, [""; 0]);
}

async fn pages_of_repositories_put_together_are_the_whole(database: Database) {
    let all = [
        "a", "a-b", "a-b/c", "a.b/x", "a/b", "a/b-c", "a/b/c", "a0/x", "b/x",
    ];
    let meta = &database.meta;
    make_repositories(meta, &all).await;
    let projects = ["a", "a-b", "a.b", "a0", "b", "empty", "a-empty"];
    for limit in 1..=10 {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = names(meta, &projects, after.as_deref(), limit).await;
            let Some(last) = page.last().cloned() else {
                break;
            };
            assert!(page.len() <= limit as usize);
            after = Some(last);
            read.extend(page);
        }
        assert_eq!(read, all, "in pages of {limit}");
    }
    // A name that is not there, and what is no name at all.
    assert_eq!(names(meta, &projects, Some("a/b-b"), 1).await, ["a/b-c"]);
    assert_eq!(names(meta, &projects, Some("a/"), 1).await, ["a/b"]);
    assert_eq!(names(meta, &projects, Some("Ünknown %"), 1).await, [""; 0]);
}

async fn a_repository_of_which_only_a_list_is_known_is_not_listed_before_it_has_content(
    database: Database,
) {
    let meta = &database.meta;
    let list = ListRow {
        body: Bytes::from_static(b"[]"),
        fetched_at: at(1),
    };
    meta.list_put(&name("p/r"), ListKind::Tags, "", list.clone())
        .await
        .unwrap();
    assert_eq!(names(meta, &["p"], None, 10).await, [""; 0]);
    meta.tag_put(&name("p/r"), &tag("latest"), row("one", 1))
        .await
        .unwrap();
    assert_eq!(names(meta, &["p"], None, 10).await, ["p/r"]);
    meta.list_put(&name("p/r"), ListKind::Tags, "", list)
        .await
        .unwrap();
    assert_eq!(names(meta, &["p"], None, 10).await, ["p/r"]);
}
