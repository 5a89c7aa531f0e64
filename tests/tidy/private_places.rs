//! Finds names of private places: hosts of package registries, and folders of one machine.

use crate::Fault;

/// Hosts of package registries and their mirrors, written in two parts, so that this file does not name them.
const HOSTS: [&str; 10] = [
    concat!("crates", ".io"),
    concat!("repo.maven", ".apache.org"),
    concat!("repo1.maven", ".org"),
    concat!("central.sonatype", ".com"),
    concat!("registry.npmjs", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("pypi", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("deb.debian", ".org"),
    concat!("/artifact", "ory/"),
];
/// The beginnings of absolute paths on one machine.
const FOLDERS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];

pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let hosts = HOSTS.iter().filter(|host| line.contains(*host));
        let folders = FOLDERS.iter().filter(|folder| has_absolute(line, folder));
        for place in hosts.chain(folders) {
            faults.push(Fault::new(path, number, format!("names `{place}`, a private place")));
        }
    }
    faults
}

/// Returns whether the line contains an absolute path in the folder; `docs/work/` is a relative path.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}' | ')' | '*' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_private_paths_are_found() {
        for place in HOSTS.iter().chain(&FOLDERS) {
            assert_eq!(check("a.md", &format!("see\n\"{place}x\"\n")).len(), 1, "{place}");
        }
    }

    #[test]
    fn similar_words_are_allowed() {
        assert_eq!(check("a.md", "crates, docs/work/plan.md, $ROOT/work/x, the root/ and Maven Central"), []);
    }
}
