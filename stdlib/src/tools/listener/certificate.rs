//! The validity of a listener's certificate, and the warning before it expires.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tracing::warn;
use weir_runtime::{Clock, Meter};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// How long before a certificate expires warnings begin.
const WARNING_PERIOD: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The period in which a certificate is valid, in seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    /// Returns the validity of a certificate. Returns `None` for a certificate that can't be parsed: whether it can be
    /// used is for rustls to decide.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let [from, until] =
            [validity.not_before, validity.not_after].map(|time| time.to_unix_duration().as_secs() as i64);
        Some(Validity { from, until })
    }

    /// Returns what is wrong with the validity at the time `now`, in seconds since 1970-01-01T00:00:00Z.
    fn problem(self, now: i64) -> Option<String> {
        let at = |seconds| {
            jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
        };
        let Validity { from, until } = self;
        if until < now {
            return Some(format!("has expired at {}: clients refuse it", at(until)));
        }
        if from > now {
            return Some(format!("is not valid before {}: clients refuse it", at(from)));
        }
        let left = until - now;
        let days = left / (24 * 60 * 60);
        (left < WARNING_PERIOD.as_secs() as i64).then(|| format!("ends at {}, in {days} days", at(until)))
    }

    /// Sets the metric of the certificate's end, and logs a warning if the end is near.
    pub(super) fn report(self, component: &str, path: &str, meter: &Meter, clock: &Arc<dyn Clock>) {
        meter.gauge("certificate_ends_timestamp_seconds").set(u64::try_from(self.until).unwrap_or(0));
        if let Some(problem) = self.problem(clock.now() / 1_000_000) {
            meter.count("certificate_warnings", 1);
            warn!(component, "the certificate {path} {problem}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use weir_runtime::Context;

    use super::*;
    use crate::tools::listener::{Endpoint, Listener, ServerSecurity};

    #[test]
    fn a_certificate_has_a_problem_from_two_weeks_before_its_end() {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let validity = Validity::of(parameters.self_signed(&key).unwrap().der()).unwrap();
        let at = |text: &str| validity.problem(text.parse::<jiff::Timestamp>().unwrap().as_second());
        assert_eq!(at("2030-02-14T00:00:00Z"), None);
        assert_eq!(at("2030-02-20T00:00:00Z").unwrap(), "ends at 2030-03-01T00:00:00Z, in 9 days");
        let expired = at("2031-01-01T00:00:00Z").unwrap();
        assert_eq!(expired, "has expired at 2030-03-01T00:00:00Z: clients refuse it");
        let early = at("2029-01-01T00:00:00Z").unwrap();
        assert_eq!(early, "is not valid before 2030-01-01T00:00:00Z: clients refuse it");
    }

    /// A clock that follows tokio's virtual time, from a given time on (in microseconds since 1970-01-01T00:00:00Z).
    struct TokioClock(i64, tokio::time::Instant);

    impl Clock for TokioClock {
        fn now(&self) -> i64 {
            self.0 + self.1.elapsed().as_micros() as i64
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_warns_of_its_certificate_while_it_runs() {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let (key, folder) = (rcgen::KeyPair::generate().unwrap(), tempfile::tempdir().unwrap());
        let [cert_path, key_path] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert_path, parameters.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();

        let meter = Arc::new(Meter::default());
        let start = "2030-02-10T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let clock = Arc::new(TokioClock(start, tokio::time::Instant::now()));
        let schema = Arc::new(arrow_schema::Schema::empty());
        let context = Context { clock, ..crate::tests::harness::context("web", schema, &meter) };
        let security = ServerSecurity::Tls { cert: cert_path, key: key_path, ca: None };
        let endpoint = Endpoint::new(&context, "127.0.0.1:0", 1, &security);
        let listener = Listener::bind(endpoint).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(stop.clone(), |_arrival| async {}));
        let warnings = || meter.counters().get("certificate_warnings").copied().unwrap_or_default();
        let days = |days: u64| tokio::time::sleep(Duration::from_secs(days * 24 * 60 * 60 + 60));
        days(4).await;
        assert_eq!(warnings(), 0, "more than two weeks are left");
        let ends = meter.gauges()["certificate_ends_timestamp_seconds"];
        assert_eq!(ends, "2030-03-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second() as u64);
        days(1).await;
        assert_eq!(warnings(), 1);
        days(3).await;
        assert_eq!(warnings(), 4, "each day");
        stop.cancel();
        serving.await.unwrap();
    }

    #[test]
    fn a_metric_shows_when_the_certificate_ends() {
        let (meter, clock): (Meter, Arc<dyn Clock>) = (Meter::default(), Arc::new(weir_runtime::SystemClock));
        Validity { from: 0, until: 1_900_000_000 }.report("web", "cert.pem", &meter, &clock);
        assert_eq!(meter.gauges()["certificate_ends_timestamp_seconds"], 1_900_000_000);
    }
}
