//! What the document says of the API, held against the running server by schemathesis: requests made of the document, right
//! and wrong ones, must get the answers that it promises.

use std::{path::Path, process::Command};

use crate::{
    api::{PASSWORD, hub, pull, setup},
    harness::On,
};

/// Seconds for all requests that are made up.
const BUDGET: &str = "20";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      unsupported_method,use_after_free";
/// These ask whatever host they are told to.
const DIALS: [&str; 2] = ["testRemoteFields", "testRemote"];
/// Its answer has no end.
const ENDLESS: &str = "listenEvents";

/// The path of the program.
fn program() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tool-path.sh");
    let output = Command::new(script).arg("schemathesis").output();
    let output = output.expect("the script runs");
    let path = String::from_utf8(output.stdout).expect("a path");
    let path = path.trim().to_owned();
    assert!(
        Path::new(&path).exists(),
        "schemathesis is not installed: run `scripts/install-tools.sh schemathesis`"
    );
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_as_the_document_says() {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    let mut command = Command::new(program());
    command
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", server.url()))
        .args(["--auth", &format!("admin:{PASSWORD}")])
        .args(["--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "8", "--max-time", BUDGET, "--seed", "1"])
        .args(["--request-timeout", "30", "--no-color", "--warnings", "off"])
        .current_dir(server.folder.path());
    for operation in DIALS.into_iter().chain([ENDLESS]) {
        command.args(["--exclude-operation-id", operation]);
    }
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("the program runs");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // Only what mirrors what is there is asked, and nothing was pushed there.
    assert_eq!(hub.count(On::any().with_header("authorization")), 0);
}
