//! The signatures of the library, as the compiler reads them.

/// Each file of the library: the name that diagnostics show, and its text.
pub fn library_sources() -> &'static [(&'static str, &'static str)] {
    &[
        ("library/types.flow", include_str!("language/types/types.flow")),
        ("library/formats.flow", include_str!("language/types/formats.flow")),
        ("library/security.flow", include_str!("language/types/security.flow")),
        ("library/file.flow", include_str!("components/file_channel/file.flow")),
        ("library/files.flow", include_str!("components/files/files.flow")),
        ("library/generate.flow", include_str!("components/generate/generate.flow")),
        ("library/hdfs.flow", include_str!("components/hdfs/hdfs.flow")),
        ("library/http.flow", include_str!("components/http/http.flow")),
        ("library/kafka.flow", include_str!("components/kafka/kafka.flow")),
        ("library/memory.flow", include_str!("components/memory/memory.flow")),
        ("library/null.flow", include_str!("components/null/null.flow")),
        ("library/stdin.flow", include_str!("components/stdin/stdin.flow")),
        ("library/stdout.flow", include_str!("components/stdout/stdout.flow")),
        ("library/syslog.flow", include_str!("components/syslog/syslog.flow")),
        ("library/tcp_lines.flow", include_str!("components/tcp_lines/tcp_lines.flow")),
        ("library/parsers/access_log.flow", include_str!("language/parsers/access_log.flow")),
        ("library/parsers/avro.flow", include_str!("language/parsers/avro.flow")),
        ("library/parsers/csv.flow", include_str!("language/parsers/csv.flow")),
        ("library/parsers/grok.flow", include_str!("language/parsers/grok.flow")),
        ("library/parsers/json.flow", include_str!("language/parsers/json.flow")),
        ("library/parsers/kv.flow", include_str!("language/parsers/kv.flow")),
        ("library/parsers/logfmt.flow", include_str!("language/parsers/logfmt.flow")),
        ("library/parsers/regex.flow", include_str!("language/parsers/regex.flow")),
        ("library/parsers/syslog.flow", include_str!("language/parsers/syslog.flow")),
        ("library/functions/bytes.flow", include_str!("language/functions/bytes.flow")),
        ("library/functions/encoding.flow", include_str!("language/functions/encoding.flow")),
        ("library/functions/hash.flow", include_str!("language/functions/hash.flow")),
        ("library/functions/ip.flow", include_str!("language/functions/ip.flow")),
        ("library/functions/json.flow", include_str!("language/functions/json.flow")),
        ("library/functions/lists.flow", include_str!("language/functions/lists.flow")),
        ("library/functions/numbers.flow", include_str!("language/functions/numbers.flow")),
        ("library/functions/random.flow", include_str!("language/functions/random.flow")),
        ("library/functions/text.flow", include_str!("language/functions/text.flow")),
        ("library/functions/time.flow", include_str!("language/functions/time.flow")),
        ("library/functions/urls.flow", include_str!("language/functions/urls.flow")),
        ("library/interceptors/host.flow", include_str!("language/interceptors/host.flow")),
        (
            "library/interceptors/regex_extractor.flow",
            include_str!("language/interceptors/regex_extractor.flow"),
        ),
        ("library/interceptors/regex_filter.flow", include_str!("language/interceptors/regex_filter.flow")),
        ("library/interceptors/remove_header.flow", include_str!("language/interceptors/remove_header.flow")),
        (
            "library/interceptors/search_replace.flow",
            include_str!("language/interceptors/search_replace.flow"),
        ),
        ("library/interceptors/static.flow", include_str!("language/interceptors/static.flow")),
        ("library/interceptors/timestamp.flow", include_str!("language/interceptors/timestamp.flow")),
        ("library/interceptors/uuid.flow", include_str!("language/interceptors/uuid.flow")),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Every `.flow` file beside the Rust of the library.
    fn signatures() -> Vec<PathBuf> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let entries = walkdir::WalkDir::new(sources).into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "flow"));
        files.map(walkdir::DirEntry::into_path).collect()
    }

    #[test]
    fn every_signature_is_in_the_list_once() {
        for path in signatures() {
            let text = std::fs::read_to_string(&path).unwrap();
            let entries = library_sources().iter().filter(|(_, source)| **source == *text);
            assert_eq!(entries.count(), 1, "{}", path.display());
        }
        assert_eq!(library_sources().len(), signatures().len());
    }

    #[test]
    fn every_name_is_another_and_ends_as_its_file_does() {
        let mut names: Vec<&str> = library_sources().iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), library_sources().len());
        assert!(names.iter().all(|name| name.starts_with("library/") && name.ends_with(".flow")));
    }
}
