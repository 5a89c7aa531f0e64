//! The signatures of the library, as the compiler reads them.

/// Each file of the library: the name that diagnostics show, and its text.
pub fn library_sources() -> &'static [(&'static str, &'static str)] {
    &[
        ("library/types.flow", include_str!("types/types.flow")),
        ("library/files.flow", include_str!("files/files.flow")),
        ("library/generate.flow", include_str!("generate/generate.flow")),
        ("library/hdfs.flow", include_str!("hdfs/hdfs.flow")),
        ("library/kafka.flow", include_str!("kafka/kafka.flow")),
        ("library/memory.flow", include_str!("memory/memory.flow")),
        ("library/null.flow", include_str!("null/null.flow")),
        ("library/stdout.flow", include_str!("stdout/stdout.flow")),
    ]
}
