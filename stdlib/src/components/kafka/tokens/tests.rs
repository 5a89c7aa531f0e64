use std::fs;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

fn jwt(expires: i64) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let payload = format!(r#"{{"sub":"weir","exp":{expires}}}"#);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&payload))
}

fn in_file() -> (tempfile::NamedTempFile, Tokens) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let reference = SecretReference::File(file.path().to_string_lossy().into_owned());
    (file, Tokens::new(Origin::Secret(reference), Vec::new()))
}

fn in_seconds(seconds: i64) -> i64 {
    Timestamp::now().as_second() + seconds
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_only_when_it_is_needed() {
    let (file, tokens) = in_file();
    assert!(matches!(tokens.present(), Err(TokenError::Absent)));
    fs::write(file.path(), jwt(in_seconds(600))).unwrap();
    tokens.obtain().await.unwrap();
    let first = tokens.present().unwrap();
    assert_eq!(first.principal(), "weir");
    fs::write(file.path(), jwt(in_seconds(900))).unwrap();
    tokens.obtain().await.unwrap();
    assert_eq!(tokens.present().unwrap(), first);
    tokens.forget();
    tokens.obtain().await.unwrap();
    assert_ne!(tokens.present().unwrap(), first);
    assert_eq!(tokens.number.load(Ordering::Acquire), 2);
}

#[test]
fn a_token_that_does_not_say_how_long_it_is_valid_stays_valid_as_long_as_it_is_given() {
    let (_file, tokens) = in_file();
    let (token, begin) = (|now| Token::new("opaque".to_owned(), None, now).unwrap(), SystemTime::now());
    for seconds in [0, 100, 200, 400] {
        tokens.put(token(begin + Duration::from_secs(seconds)));
    }
    let last = tokens.lock().clone().unwrap();
    assert_eq!(last.expires, begin + Duration::from_secs(400) + UNKNOWN_LIFETIME);
    // Clients got it when half of its time was over, and not each time that it was read.
    assert_eq!(tokens.number.load(Ordering::Acquire), 3);
}

#[tokio::test]
async fn a_token_that_can_be_of_no_use_is_an_error_that_names_the_setting_and_the_place() {
    let (file, tokens) = in_file();
    let path = file.path().display();
    for (text, expected) in [
        (jwt(1_767_225_600), format!("the token in the file {path} has expired at 2026-01-01T00:00:00Z")),
        (
            "two words".to_owned(),
            format!("the file {path} has no token: it has characters that no token has"),
        ),
    ] {
        fs::write(file.path(), text).unwrap();
        let error = tokens.obtain().await.unwrap_err();
        assert_eq!(error.to_string(), format!("`token` of `security`: {expected}"));
        assert_eq!((error.outage(), error.cause()), (None, Cause::NotAuthorised));
    }
}

#[test]
fn a_token_of_an_endpoint_is_renewed_before_it_expires() {
    let endpoint = Endpoint {
        url: "http://127.0.0.1:1/token".to_owned(),
        client: "weir".to_owned(),
        secret: SecretReference::Environment("NONE".to_owned()),
        scope: None,
        ca: None,
    };
    let (origin, now) = (Origin::Endpoint(endpoint), SystemTime::now());
    let wait = |lifetime| {
        let token = Token::new("opaque".to_owned(), lifetime, now);
        origin.wait(token.as_ref(), now)
    };
    assert_eq!(wait(Some(Duration::from_secs(3600))), Duration::from_secs(2880));
    assert_eq!(wait(None), Duration::from_secs(240));
    assert_eq!(wait(Some(Duration::from_millis(100))), RENEWAL_WAIT_MIN);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_is_a_trouble_until_there_is_another_one() {
    let (file, tokens) = in_file();
    fs::write(file.path(), jwt(in_seconds(600))).unwrap();
    let (tokens, meter) = (Arc::new(tokens), Arc::<Meter>::default());
    tokens.obtain().await.unwrap();
    tokens.keep_renewed("source", &"logs".into(), &meter);
    fs::write(file.path(), jwt(1_767_225_600)).unwrap();
    tokio::time::sleep(READING_INTERVAL + RENEWAL_WAIT_MIN).await;
    let trouble = meter.condition().troubles()[SUBJECT].clone();
    assert_eq!(trouble.cause, Cause::NotAuthorised);
    fs::write(file.path(), jwt(in_seconds(700))).unwrap();
    tokio::time::sleep(FAILURE_WAIT_MAX).await;
    assert!(meter.condition().troubles().is_empty());
    assert_eq!(tokens.number.load(Ordering::Acquire), 2);
}
