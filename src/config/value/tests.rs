use super::*;

fn given(value: Value) -> Node {
    Node {
        origin: Origin::File { line: 1 },
        value,
    }
}

fn in_quotes(text: &str) -> Node {
    given(Value::Text(text.to_owned()))
}

#[test]
fn durations_need_a_unit() {
    assert_eq!(
        duration(&in_quotes("15m")).unwrap(),
        Duration::from_secs(900)
    );
    assert_eq!(duration(&in_quotes("0s")).unwrap(), Duration::ZERO);
    for bad in ["", "5", "-1s", "soon", "200years"] {
        assert!(duration(&in_quotes(bad)).is_err(), "{bad}");
    }
    let problem = duration(&given(Value::Integer(30))).unwrap_err();
    assert_eq!(
        problem.hint.as_deref(),
        Some("a duration needs a unit: \"30s\"")
    );
    assert!(timeout(&in_quotes("0s")).is_err());
}

#[test]
fn sizes_are_binary_or_decimal_or_plain() {
    assert_eq!(size(&in_quotes("512MiB")).unwrap(), 512 << 20);
    assert_eq!(size(&in_quotes("20GB")).unwrap(), 20_000_000_000);
    assert_eq!(size(&given(Value::Integer(7))).unwrap(), 7);
    assert_eq!(size_or_unlimited(&in_quotes("unlimited")).unwrap(), None);
    assert_eq!(bandwidth(&in_quotes("20MiB/s")).unwrap(), 20 << 20);
    for bad in ["", "x", "-1", "1XB"] {
        assert!(size(&in_quotes(bad)).is_err(), "{bad}");
    }
    for bad in ["20MiB", "0B/s", "/s"] {
        assert!(bandwidth(&in_quotes(bad)).is_err(), "{bad}");
    }
}

#[test]
fn the_url_of_a_remote_ends_with_a_slash_and_holds_no_credentials() {
    assert_eq!(
        remote_url(&in_quotes("https://r.example/base"))
            .unwrap()
            .as_str(),
        "https://r.example/base/"
    );
    for bad in [
        "r.example",
        "ftp://r.example",
        "https://",
        "https://r/?a=b",
        "https://r/#a",
    ] {
        assert!(remote_url(&in_quotes(bad)).is_err(), "{bad}");
    }
    let problem = remote_url(&in_quotes("https://u:hunter2@r.example")).unwrap_err();
    assert!(!problem.text.contains("hunter2"), "{}", problem.text);
}

#[test]
fn one_address_is_a_network_too() {
    assert_eq!(
        network(&in_quotes("10.0.0.1")).unwrap().to_string(),
        "10.0.0.1/32"
    );
    assert_eq!(
        network(&in_quotes("fd00::/8")).unwrap().to_string(),
        "fd00::/8"
    );
    assert!(network(&in_quotes("10.0.0.0/33")).is_err());
}

#[test]
fn a_mistyped_word_finds_the_one_that_was_meant() {
    let words = || ["listen", "mirror_listen", "tls"].into_iter();
    assert_eq!(nearest("lisen", words()), Some("listen"));
    assert_eq!(nearest("mirror-listen", words()), Some("mirror_listen"));
    assert_eq!(nearest("Listen", words()), Some("listen"));
    assert_eq!(nearest("something", words()), None);
}

#[test]
fn text_of_a_variable_is_text_even_when_it_looks_like_a_number() {
    let origin = Origin::Environment {
        variable: "X".to_owned(),
        raw: "007".to_owned(),
    };
    assert_eq!(
        text(&Node {
            origin,
            value: Value::Integer(7)
        })
        .unwrap(),
        "007"
    );
}
