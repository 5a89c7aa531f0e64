//! Compares the lines that arrived with the lines that were sent.

use std::collections::HashMap;
use std::fmt;

use crate::print_line;

/// The number of example lines in the message of a failed assertion.
const EXAMPLES: usize = 3;

/// The result of comparing sent and arrived lines.
#[derive(Debug)]
pub struct Account {
    sent: usize,
    arrived: usize,
    repeated: usize,
    missing: Vec<String>,
    unexpected: Vec<String>,
}

impl Account {
    /// Compares the sent lines, which must be unique, with the arrived lines, in any order.
    pub fn of(sent: &[String], arrived: &[Vec<u8>]) -> Account {
        let mut times: HashMap<&[u8], usize> = sent.iter().map(|line| (line.as_bytes(), 0)).collect();
        assert_eq!(times.len(), sent.len(), "the sent lines are not unique: the test itself is wrong");
        let mut repeated = 0;
        let mut unexpected = Vec::new();
        for line in arrived {
            match times.get_mut(line.as_slice()) {
                Some(0) => drop(times.insert(line, 1)),
                Some(n) => {
                    *n += 1;
                    repeated += 1;
                }
                None => unexpected.push(String::from_utf8_lossy(line).into_owned()),
            }
        }
        let missing = sent.iter().filter(|line| times[line.as_bytes()] == 0).cloned().collect();
        Account { sent: sent.len(), arrived: arrived.len(), repeated, missing, unexpected }
    }

    /// Returns the number of repeated arrivals: those after the first arrival of each line.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Asserts that every sent line arrived, and no other line; repeated lines are allowed. Prints the counts.
    pub fn assert_nothing_lost(&self, scene: &str) {
        print_line(scene, self);
        assert!(self.missing.is_empty(), "{scene}: lines were lost: {self}{}", examples(&self.missing));
        assert!(
            self.unexpected.is_empty(),
            "{scene}: lines arrived that were not sent: {self}{}",
            examples(&self.unexpected)
        );
    }

    /// Asserts that every sent line arrived exactly once, and no other line.
    pub fn assert_exact(&self, scene: &str) {
        self.assert_nothing_lost(scene);
        assert_eq!(self.repeated, 0, "{scene}: lines were repeated: {self}");
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { sent, arrived, repeated, missing, unexpected } = self;
        let (missing, unexpected) = (missing.len(), unexpected.len());
        write!(
            f,
            "{sent} sent, {arrived} arrived, {missing} missing, {repeated} repeated, {unexpected} unexpected"
        )
    }
}

fn examples(lines: &[String]) -> String {
    let mut text = String::from("; such as");
    for line in lines.iter().take(EXAMPLES) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(sent: &[&str], arrived: &[&str]) -> Account {
        let sent: Vec<String> = sent.iter().map(|line| (*line).to_owned()).collect();
        let arrived: Vec<Vec<u8>> = arrived.iter().map(|line| line.as_bytes().to_vec()).collect();
        Account::of(&sent, &arrived)
    }

    #[test]
    fn order_does_not_matter() {
        account(&["a", "b", "c"], &["c", "a", "b"]).assert_exact("order");
    }

    #[test]
    fn repeats_are_counted_and_allowed() {
        let account = account(&["a", "b"], &["b", "a", "b", "b"]);
        account.assert_nothing_lost("repeats");
        assert_eq!(account.repeated(), 2);
    }

    #[test]
    #[should_panic(expected = "2 sent, 3 arrived, 0 missing, 1 repeated, 0 unexpected")]
    fn a_repeat_is_not_exact() {
        account(&["a", "b"], &["b", "a", "b"]).assert_exact("repeats");
    }

    #[test]
    #[should_panic(
        expected = "lines were lost: 2 sent, 1 arrived, 1 missing, 0 repeated, 0 unexpected; such as\n  b"
    )]
    fn a_lost_line_is_found() {
        account(&["a", "b"], &["a"]).assert_nothing_lost("loss");
    }

    #[test]
    #[should_panic(
        expected = "lines arrived that were not sent: 1 sent, 2 arrived, 0 missing, 0 repeated, 1 unexpected; such as\n  x"
    )]
    fn an_unexpected_line_is_found() {
        account(&["a"], &["a", "x"]).assert_nothing_lost("unexpected");
    }
}
