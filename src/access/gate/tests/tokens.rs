use super::*;

fn scope(repository: &str, rights: &[Right]) -> Scope {
    Scope {
        repository: name(repository),
        rights: rights.iter().copied().collect(),
    }
}

#[tokio::test]
async fn a_machines_token_may_no_more_than_it_says_and_than_its_owner() {
    let entrance = Entrance::open().await;
    entrance
        .add_user("ann", "ann's password", &[grant("team", &["pull", "push"])])
        .await;
    let rights = [grant("**", &["pull", "delete"])];
    let (id, username, secret) = entrance.add_token("ann", Some(&rights)).await;
    assert_eq!(username, "ann+ci");
    let by_password = entrance.log_in(&username, &secret).await.unwrap();
    let by_bearer = entrance.show(&format!("Bearer {secret}")).await.unwrap();
    for caller in [by_password, by_bearer] {
        assert_eq!(caller.name(), "ann+ci");
        assert!(holds(&caller, Right::Pull, "team/app"));
        assert!(!holds(&caller, Right::Push, "team/app"));
        assert!(!holds(&caller, Right::Delete, "team/app"));
        assert!(!holds(&caller, Right::Pull, "other/app"));
    }
    assert!(entrance.is_wrong("ann", &secret).await);
    entrance.accounts.delete_token(&admin(), id).await.unwrap();
    assert!(entrance.is_wrong(&username, &secret).await);
}

#[tokio::test]
async fn a_token_without_rights_of_its_own_is_its_owner_and_goes_with_it() {
    let entrance = Entrance::open().await;
    let (_, username, secret) = entrance.add_token("admin", None).await;
    let caller = entrance.log_in(&username, &secret).await.unwrap();
    assert!(caller.is_admin());
    entrance.add_user("ann", "ann's password", &[]).await;
    let (_, username, secret) = entrance.add_token("ann", None).await;
    let caller = entrance.log_in(&username, &secret).await.unwrap();
    assert!(!caller.is_admin());
    entrance
        .accounts
        .delete_user(&admin(), "ann")
        .await
        .unwrap();
    assert!(entrance.is_wrong(&username, &secret).await);
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let entrance = Entrance::open().await;
    let new = NewToken {
        name: "short".to_owned(),
        rights: None,
        expires_in: Some(Duration::from_millis(1)),
    };
    let made = entrance.accounts.create_token(&admin(), new).await;
    let (token, secret) = made.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(entrance.is_wrong(&token.username, secret.expose()).await);
}

#[tokio::test]
async fn a_registry_token_is_good_for_what_it_was_asked_and_its_holder_may() {
    let entrance = Entrance::open().await;
    entrance
        .add_user("ann", "ann's password", &[grant("team", &["pull", "push"])])
        .await;
    let ann = entrance.log_in("ann", "ann's password").await.unwrap();
    let asked = [scope("team/app", &[Right::Pull, Right::Delete])];
    let issued = entrance.gate.issue(&ann, &asked, false);
    let bearer = format!("Bearer {}", issued.token.expose());
    let caller = entrance.show(&bearer).await.unwrap();
    assert!(holds(&caller, Right::Pull, "team/app"));
    assert!(!holds(&caller, Right::Delete, "team/app"));
    assert!(!holds(&caller, Right::Push, "team/app"));
    assert!(!holds(&caller, Right::Pull, "team/other"));
    assert!(caller.lacks_scope(Right::Push, &name("team/app")));
    assert!(!caller.lacks_scope(Right::Delete, &name("team/app")));
    let accounts = &entrance.accounts;
    accounts
        .set_rights(&admin(), "ann", false, &[])
        .await
        .unwrap();
    let caller = entrance.show(&bearer).await.unwrap();
    assert!(!holds(&caller, Right::Pull, "team/app"));
    accounts.delete_user(&admin(), "ann").await.unwrap();
    assert!(entrance.show(&bearer).await.is_err());
}

#[tokio::test]
async fn a_registry_token_makes_nobody_an_admin_of_the_system() {
    let entrance = Entrance::open().await;
    let issued = entrance.gate.issue(&Caller::admin(), &[], true);
    let caller = entrance
        .show(&format!("Bearer {}", issued.token.expose()))
        .await
        .unwrap();
    assert!(!caller.is_admin());
    assert!(caller.for_catalog().is_some());
}

#[tokio::test]
async fn registry_tokens_survive_a_restart_and_no_other_key_signs_them() {
    let entrance = Entrance::open().await;
    let asked = [scope("team/app", &[Right::Pull])];
    let token = entrance.gate.issue(&Caller::admin(), &asked, false).token;
    let bearer = format!("Bearer {}", token.expose());
    let entrance = entrance.restart().await;
    assert!(entrance.show(&bearer).await.is_ok());
    let other = Entrance::open().await;
    assert!(matches!(
        other.show(&bearer).await,
        Err(IdentifyError::BadToken)
    ));
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_none() {
    let entrance = Entrance::open().await;
    let token = entrance.gate.issue(&Caller::Anonymous, &[], false).token;
    let parts: Vec<&str> = token.expose().split('.').collect();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let text = String::from_utf8(claims.decode(parts[1]).unwrap()).unwrap();
    let text = text.replace(r#""kind":"anonymous""#, r#""kind":"user","sub":"admin""#);
    let forged = format!("{}.{}.{}", parts[0], claims.encode(&text), parts[2]);
    assert!(entrance.show(&format!("Bearer {forged}")).await.is_err());
    // `alg: none` is no signature.
    let header = claims.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let unsigned = format!("{header}.{}.", claims.encode(&text));
    assert!(entrance.show(&format!("Bearer {unsigned}")).await.is_err());
}
