use std::fs;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, DefaultProducerContext};

use super::*;
use crate::components::kafka::protected::CreateError;
use crate::components::kafka::security::{Security, SecurityError};

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
    tokens.refuse(None, Some("it is revoked"));
    tokens.obtain().await.unwrap();
    assert_ne!(tokens.present().unwrap(), first);
    assert_eq!(tokens.number.load(Ordering::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_shown_again_only_when_there_is_another_one_or_its_time_is_over() {
    let (file, tokens) = in_file();
    let (first, second) = (jwt(in_seconds(6000)), jwt(in_seconds(9000)));
    fs::write(file.path(), &first).unwrap();
    tokens.obtain().await.unwrap();
    tokens.refuse(None, None);
    tokens.obtain().await.unwrap();
    let shown = tokens.present().unwrap();
    tokens.refuse(Some(shown.clone()), Some("the account is locked"));
    for _restart in 0..3 {
        let error = tokens.obtain().await.unwrap_err();
        let path = file.path().display();
        let message = format!(
            "`security`: the brokers have refused the token from the file {path}: the account is locked; the same one is shown again \
             in 30 s"
        );
        assert_eq!((error.to_string(), error.cause(), error.outage()), (message, Cause::NotAuthorised, None));
        assert!(tokens.present().is_err());
    }
    // Another one is shown at once, and its own refusal is remembered.
    fs::write(file.path(), &second).unwrap();
    tokens.obtain().await.unwrap();
    // A refusal of the first one comes late, and does not concern the second one.
    tokens.refuse(Some(shown), Some("the account is locked"));
    assert_eq!(tokens.present().unwrap().text(), second);
    tokens.refuse(None, Some("the account is locked"));
    assert!(tokens.obtain().await.is_err());
    fs::write(file.path(), &first).unwrap();
    assert!(tokens.obtain().await.is_err());
    tokio::time::advance(Duration::from_secs(60)).await;
    tokens.obtain().await.unwrap();
    assert_eq!(tokens.present().unwrap().text(), first);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_a_trouble_until_there_is_another_one() {
    let (file, tokens) = in_file();
    fs::write(file.path(), jwt(in_seconds(6000))).unwrap();
    let (tokens, meter) = (Arc::new(tokens), Arc::<Meter>::default());
    tokens.obtain().await.unwrap();
    tokens.keep_renewed("source", &"logs".into(), &meter);
    tokens.refuse(None, Some("it is revoked"));
    for _second in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(meter.condition().troubles()[SUBJECT].cause, Cause::NotAuthorised);
        assert!(tokens.present().is_err());
    }
    fs::write(file.path(), jwt(in_seconds(9000))).unwrap();
    tokio::time::sleep(FAILURE_WAIT_MAX).await;
    assert!(meter.condition().troubles().is_empty() && tokens.present().is_ok());
}

#[tokio::test]
async fn a_token_that_expires_before_the_client_is_made_is_waited_for() {
    let (file, tokens) = in_file();
    fs::write(file.path(), jwt(in_seconds(600))).unwrap();
    let tokens = Arc::new(tokens);
    tokens.obtain().await.unwrap();
    let bearer = Bearer { tokens: tokens.clone(), encrypted: false, ca: None };
    let config = Security::OauthToken(bearer).protect(ClientConfig::new()).unwrap();
    let make = || config.create::<_, BaseProducer>(DefaultProducerContext);
    assert!(make().is_ok());
    let expired = Token::new(jwt(in_seconds(-1)), None, SystemTime::now()).unwrap();
    *tokens.lock() = Some(Arc::new(expired));
    let error = make().err().unwrap();
    assert!(matches!(error, CreateError::Token(TokenError::Absent)), "{error}");
    assert_eq!(SecurityError::from(error).cause(), Cause::NotAuthorised);
    // The next run gets another one, which clients of these settings show too.
    tokens.obtain().await.unwrap();
    assert!(make().is_ok());
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_of_no_use() {
    let (file, tokens) = in_file();
    fs::write(file.path(), jwt(in_seconds(2))).unwrap();
    let error = tokens.obtain().await.unwrap_err();
    assert!(matches!(error, TokenError::Ending { .. }), "{error}");
    assert_eq!((error.cause(), error.outage()), (Cause::NotAuthorised, None));
    // A client that has it is told to end, while it can.
    let token = |seconds| Arc::new(Token::new(jwt(in_seconds(seconds)), None, SystemTime::now()).unwrap());
    let (tokens, given) = (Arc::new(tokens), Some((token(2), Instant::now())));
    let renewal = Renewal { tokens: Some(tokens.clone()), given, ..Renewal::default() };
    assert!(matches!(renewal.check(), Err(TokenError::Absent)));
    *tokens.lock() = Some(token(600));
    assert!(renewal.check().is_ok());
    // The file is read once more before that.
    let wait = |seconds| tokens.origin.wait(Some(&*token(seconds)), SystemTime::now());
    assert_eq!(wait(600), READING_INTERVAL);
    assert!(wait(9) < ENDING * 2 && wait(9) > ENDING);
    assert_eq!(wait(2), RENEWAL_WAIT_MIN);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_concerns_the_token_that_the_client_showed() {
    let token = |seconds| Arc::new(Token::new(jwt(in_seconds(seconds)), None, SystemTime::now()).unwrap());
    let (first, second) = (token(600), token(900));
    let mut renewal = Renewal::default();
    assert!(renewal.shown().is_none());
    renewal.given = Some((first.clone(), Instant::now()));
    assert_eq!(renewal.shown(), Some(first.clone()));
    // The client has just got the next one when it hears that the one before was refused.
    (renewal.before, renewal.given) = (Some(first.clone()), Some((second.clone(), Instant::now())));
    assert_eq!(renewal.shown(), Some(first));
    tokio::time::advance(REFUSAL_DELAY).await;
    assert_eq!(renewal.shown(), Some(second));
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
    assert_eq!(wait(Some(Duration::from_secs(12))), Duration::from_secs(6));
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
