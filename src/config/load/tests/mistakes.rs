use super::*;

/// The message for a mistake, with the hint as the command line shows it; the folder is taken out.
fn mistake(text: &str) -> String {
    let (folder, file) = folder(text);
    shown(&load(Some(&file), []).unwrap_err()).replace(&format!("{}/", folder.path().display()), "")
}

fn shown(error: &ConfigError) -> String {
    match &error.hint {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let of = |name, value| shown(&load(None, variables([(name, value)])).unwrap_err());
    insta::assert_snapshot!(of("ENTREPOT__SERVER__LISTEN", "here"));
    insta::assert_snapshot!(of("ENTREPOT__SERVER__LISSEN", "[::]:1"));
    insta::assert_snapshot!(of("ENTREPOT__REMOTE__NAME", "x"));
}

#[test]
fn typical_mistakes_name_key_file_and_what_is_allowed() {
    let mistakes = [
        "[server]\nlisten = \"localhost:5000\"\n",
        "[server]\nlistem = \"127.0.0.1:5000\"\n",
        "[serve]\nlisten = \"127.0.0.1:5000\"\n",
        "[server]\nlisten = \n",
        "[server]\nshutdown_grace = 30\n",
        "[server]\ntls = { cert = \"server.crt\", key = \"server.key\" }\n",
        "[storage]\nfree_floor = \"lots\"\n",
        "[database]\nurl = \"mysql://user:hunter2@host/db\"\n",
        "[database]\nurl = \"postgres://user:hunter2#1@host:port/db\"\n",
        "[database]\nurl = \"postgres://user:hunter2@host/db?ssl_mode=require\"\n",
        "[database]\nurl = \"postgres://user:hunter2@host/db?sslmode=required\"\n",
        "[[remote]]\nname = \"mine\"\n",
        "[[remote]]\nname = \"mine\"\nurls = [\n  \"https://a.example\",\n  \"https://u:hunter2@b.example\",\n]\n",
        "[[remote]]\nname = \"quay.io\"\nprovider = \"docker_hub\"\n",
        "[[remote]]\nname = \"quay.io\"\nusername = \"u\"\npassword = { env = \"NOT_SET\" }\n",
        "[[remote]]\nname = \"quay.io\"\nusername = \"u\"\n",
        "[[remote]]\nname = \"quay.io\"\n[[remote]]\nname = \"quay.io\"\n",
        "[[project]]\nname = \"docker.io\"\nremote = \"dockerio\"\n",
        "[[project]]\nname = \"mine\"\n",
        "[[project]]\nname = \"mine\"\nkind = \"hosted\"\nremote = \"docker.io\"\n",
        "[[project]]\nname = \"quay.io\"\nquota = \"1GiB\"\n",
        "[[project]]\nname = \"localhost:5000\"\n",
        "[[project]]\nname = \"quay.io\"\ndefault = true\n[[project]]\nname = \"gcr.io\"\ndefault = true\n",
        "[[project]]\nname = \"quay.io\"\nhosts = [\"x\"]\n[[project]]\nname = \"gcr.io\"\nhosts = [\"x\"]\n",
        "[[project]]\nname = \"quay.io\"\nallow = [\"a\", \"b[\"]\n",
        "[[project]]\nname = \"quay.io\"\n[[project.freshness]]\nmode = \"sometimes\"\n",
        "[access]\ndefault_visibility = \"remote\"\n",
        "[log]\nlevel = \"inof\"\n",
    ];
    let told: Vec<String> = mistakes
        .iter()
        .map(|text| format!("{text}=> {}\n", mistake(text)))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_that_repeats_none() {
    for (value, expected) in [
        ("\"\"", "must not be empty"),
        ("{ env = \"NOT_SET\" }", "`NOT_SET` is not set"),
        ("{ file = \"nowhere\" }", "nowhere`: No such file"),
        ("{ file = \".\" }", "it is a folder"),
        ("{ env = \"A\", file = \"B\" }", "expected a text, { env"),
        ("{ value = \"hunter2\" }", "expected a text, { env"),
        ("7357", "expected a text, { env"),
    ] {
        let told = mistake(&format!("[access]\nadmin_password = {value}\n"));
        assert!(told.contains(expected), "{told}");
        assert!(
            !told.contains("hunter2") && !told.contains("7357"),
            "{told}"
        );
    }
}

#[test]
fn a_variable_cannot_reach_into_a_value() {
    let environment = variables([
        ("ENTREPOT__SERVER__LISTEN__PORT", "1"),
        ("ENTREPOT__SERVER__LISTEN", "[::]:1"),
    ]);
    assert!(load(None, environment).is_err());
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = load(Some(Path::new("/nonexistent/entrepot.toml")), []).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/entrepot.toml: cannot read the configuration"),
        "{error}"
    );
}

#[test]
fn a_webhook_needs_a_name_a_url_and_a_secret_that_is_one() {
    let of = |keys: &str| mistake(&format!("[[webhook]]\n{keys}\n"));
    let url = "name = \"ci\"\nurl = \"https://ci.example.com/hook\"";
    for (keys, part) in [
        (
            "url = \"https://ci.example.com\"".to_owned(),
            "`webhook[0].name`: missing",
        ),
        ("name = \"ci\"".to_owned(), "`webhook[0].url`: missing"),
        (url.to_owned(), "`webhook[0].secret`: missing"),
        (
            format!("{url}\nsecret = \"short\""),
            "at least 16 characters",
        ),
        (
            format!("{url}\nsecret = \"whsec_no base64 at all\""),
            "expected base64",
        ),
        (
            format!("{url}\nsecret = \"0123456789abcdef\"\nevents = [\"push\"]"),
            "did you mean \"pushed\"?",
        ),
        (
            "name = \"ci\"\nurl = \"https://u:hunter2@ci.example.com\"".to_owned(),
            "must not hold credentials",
        ),
    ] {
        let told = of(&keys);
        assert!(told.contains(part), "{keys}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
