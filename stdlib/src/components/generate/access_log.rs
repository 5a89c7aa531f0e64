//! Lines of a web server's access log, in the combined log format of the Apache HTTP Server:
//! `host - user [time] "request" status bytes "referrer" "agent"`.

use jiff::Timestamp;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

/// Keeps the sequences of different seeds from overlapping.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The requested paths, the more popular first; `#` stands for a number.
const PATHS: [&str; 16] = [
    "/",
    "/index.html",
    "/products/#",
    "/products/#/reviews",
    "/search?q=term#",
    "/static/app.#.js",
    "/static/site.css",
    "/images/#.jpg",
    "/api/v1/orders/#",
    "/api/v1/orders",
    "/cart",
    "/checkout",
    "/login",
    "/account/#",
    "/favicon.ico",
    "/robots.txt",
];

const REFERRERS: [&str; 6] = [
    "-",
    "https://www.example.org/",
    "https://www.example.org/products",
    "https://search.example.com/?q=weir",
    "https://news.example.net/today",
    "android-app://com.example.shop/",
];

const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "curl/8.10.1",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.com/)",
];

/// Statuses, each with the number of requests in a hundred that have it.
const STATUSES: [(&str, u64); 7] =
    [("200", 80), ("304", 8), ("301", 3), ("404", 5), ("403", 1), ("500", 2), ("503", 1)];

/// Makes lines, each from its number alone.
pub(super) struct AccessLog {
    seed: u64,
    /// The second of which `second_text` is the text. Lines of one second share it.
    second: i64,
    second_text: String,
    digits: itoa::Buffer,
}

impl AccessLog {
    /// The approximate length of a line, in bytes.
    pub(super) const LENGTH_HINT: usize = 220;

    pub(super) fn new(seed: u64) -> AccessLog {
        AccessLog { seed, second: i64::MIN, second_text: String::new(), digits: itoa::Buffer::new() }
    }

    pub(super) fn write(&mut self, number: u64, time: i64, line: &mut Vec<u8>) {
        let mut random = SplitMix64::seed_from_u64(self.seed.wrapping_mul(SEED_STEP) ^ number);
        self.write_client(&mut random, line);
        line.extend_from_slice(b" - ");
        match random.next_u64() % 5 {
            0 => {
                line.extend_from_slice(b"user");
                self.write_number(random.next_u64() % 10_000, line);
            }
            _ => line.push(b'-'),
        }
        self.write_time(time, line);
        self.write_request(&mut random, line);
        line.extend_from_slice(status(random.next_u64() % 100).as_bytes());
        line.push(b' ');
        self.write_number(random.next_u64() % 50_000, line);
        line.extend_from_slice(b" \"");
        line.extend_from_slice(popular(&REFERRERS, random.next_u64()).as_bytes());
        line.extend_from_slice(b"\" \"");
        line.extend_from_slice(popular(&AGENTS, random.next_u64()).as_bytes());
        line.push(b'"');
    }

    /// Writes an address of the networks that are reserved for documentation (RFC 5737).
    fn write_client(&mut self, random: &mut SplitMix64, line: &mut Vec<u8>) {
        const NETWORKS: [&str; 3] = ["192.0.2.", "198.51.100.", "203.0.113."];
        let bits = random.next_u64();
        line.extend_from_slice(NETWORKS[(bits % 3) as usize].as_bytes());
        self.write_number((bits >> 8) % 254 + 1, line);
    }

    fn write_time(&mut self, time: i64, line: &mut Vec<u8>) {
        let second = time.div_euclid(1_000_000);
        if second != self.second {
            self.second = second;
            // Times beyond the calendar's range are written as its last second.
            let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
            self.second_text = timestamp.strftime(" [%d/%b/%Y:%H:%M:%S +0000] \"").to_string();
        }
        line.extend_from_slice(self.second_text.as_bytes());
    }

    fn write_request(&mut self, random: &mut SplitMix64, line: &mut Vec<u8>) {
        let path = popular(&PATHS, random.next_u64());
        let method = if path.starts_with("/api") || path == "/login" { "POST " } else { "GET " };
        line.extend_from_slice(method.as_bytes());
        match path.split_once('#') {
            None => line.extend_from_slice(path.as_bytes()),
            Some((before, behind)) => {
                line.extend_from_slice(before.as_bytes());
                self.write_number(random.next_u64() % 100_000, line);
                line.extend_from_slice(behind.as_bytes());
            }
        }
        line.extend_from_slice(b" HTTP/1.1\" ");
    }

    fn write_number(&mut self, number: u64, line: &mut Vec<u8>) {
        line.extend_from_slice(self.digits.format(number).as_bytes());
    }
}

/// Returns one of the choices, the first ones more often.
fn popular<'a>(choices: &[&'a str], bits: u64) -> &'a str {
    let count = choices.len() as u64;
    let (one, other) = (bits % count, (bits >> 32) % count);
    choices[one.min(other) as usize]
}

fn status(percent: u64) -> &'static str {
    let mut left = percent;
    for (status, share) in STATUSES {
        if left < share {
            return status;
        }
        left -= share;
    }
    STATUSES[0].0
}
