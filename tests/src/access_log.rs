//! Lines of a web server's access log.

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

const PAGES: [&str; 8] = [
    "/",
    "/index.html",
    "/search",
    "/cart/checkout",
    "/api/v2/orders",
    "/static/css/site.min.css",
    "/images/products/large/4711.webp",
    "/blog/2026/why-transactions-matter",
];
const REFERERS: [&str; 4] = [
    "-",
    "https://www.example.com/",
    "https://search.example.org/?q=log+pipelines",
    "https://news.example.net/item?id=9",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "curl/8.5.0",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://www.example.com/bot)",
];
const STATUSES: [u16; 8] = [200, 200, 200, 200, 304, 404, 301, 500];

/// Returns `count` access-log lines in the combined format, without line ends, numbered from `first`.
///
/// Each line is unique, since the request's `rid` is the number. The same numbers give the same lines.
pub fn access_log(first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(line).collect()
}

fn line(number: usize) -> String {
    let mut random = Rng::with_seed(number as u64);
    let [a, b, c, d] = [(); 4].map(|()| random.u8(..));
    let time = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(1_767_225_600_000 + 20 * number as i64);
    let page = PAGES[random.usize(..PAGES.len())];
    let referer = REFERERS[random.usize(..REFERERS.len())];
    let agent = AGENTS[random.usize(..AGENTS.len())];
    let status = STATUSES[random.usize(..STATUSES.len())];
    let bytes = random.u32(0..200_000);
    format!(
        "{a}.{b}.{c}.{d} - - [{}] \"GET {page}?rid={number:09} HTTP/1.1\" {status} {bytes} \"{referer}\" \"{agent}\"",
        time.strftime("%d/%b/%Y:%H:%M:%S +0000"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_each_time_and_unique() {
        let lines = access_log(100, 1_000);
        assert_eq!(lines, access_log(100, 1_000));
        assert_eq!(lines[500..], access_log(600, 500));
        let mut unique = lines.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), lines.len());
    }
}
