//! The reference of the library: `docs/library.md` and its linked pages, generated from the text of the library.
//!
//! `REFERENCE=write cargo test -p weir-compiler --test language reference` writes the pages; without `REFERENCE`, the
//! test fails if a page is out of date.

mod entries;
mod library;

use std::fmt::Write;
use std::fs;

use weir_grammar::tree::{ItemKind, Role};

use crate::fixtures::root;
use entries::{component, function, interceptor, parser, type_entry};
use library::{Entry, Text, first_sentence};

/// The first lines of each page, which warn against changes by hand.
const MADE: &str = "<!-- Made of the signatures in stdlib/src. Change them, then write this page again: \
                    REFERENCE=write cargo test -p weir-compiler --test language reference -->\n";

/// A page: its file in `docs/library`, its title, its introduction, and the selection of its entries.
struct Page {
    file: &'static str,
    title: &'static str,
    about: &'static str,
    wanted: fn(&ItemKind) -> bool,
    entry: fn(&Text, &Entry<'_>) -> String,
}

fn is_component(kind: &ItemKind, role: Role) -> bool {
    matches!(kind, ItemKind::Extern(item) if item.role == role)
}

const PAGES: [Page; 7] = [
    Page {
        file: "sources.md",
        title: "Sources",
        about: "Where events come from: `source name = kind { … }`. The delivery class behind a kind's name \
                says what happens after a crash: [promises](../language.md#promises).",
        wanted: |kind| is_component(kind, Role::Source),
        entry: component,
    },
    Page {
        file: "channels.md",
        title: "Channels",
        about: "What holds events between sources and sinks: `channel name = kind { … }`. A path from a source to a \
                sink that names no channel gets one of the default kind.",
        wanted: |kind| is_component(kind, Role::Channel),
        entry: component,
    },
    Page {
        file: "sinks.md",
        title: "Sinks",
        about: "Where events go: `sink name = kind { … }`. The delivery class behind a kind's name says what a \
                repeated event is there: [promises](../language.md#promises).",
        wanted: |kind| is_component(kind, Role::Sink),
        entry: component,
    },
    Page {
        file: "parsers.md",
        title: "Parsers",
        about: "What reads a body into fields, in the step [`parse`](../language.md#parse).",
        wanted: |kind| matches!(kind, ItemKind::ExternParser(_)),
        entry: parser,
    },
    Page {
        file: "interceptors.md",
        title: "Interceptors",
        about: "Steps that the library has: those of Flume that are not steps of the language. Each is written in \
                the language itself, so a program may as well have [its own](../language.md#interceptors).",
        wanted: |kind| matches!(kind, ItemKind::Interceptor(_)),
        entry: interceptor,
    },
    Page {
        file: "functions.md",
        title: "Functions",
        about: "What [expressions](../language.md#expressions) may call. All are pure: the same arguments have the \
                same result, unless it is said that it varies. One that can fail needs an \
                [`else`](../language.md#failure). `T?` is a value that may be null; a parameter with a default may \
                be left out, and each can be given by its name: `round(price, digits: 2)`. Besides these there are \
                [`env`](../language.md#values-from-outside) and [`header`](../language.md#events), which belong to \
                the language.",
        wanted: |kind| matches!(kind, ItemKind::ExternFunction(_)),
        entry: function,
    },
    Page {
        file: "types.md",
        title: "Types of settings",
        about: "The enumerations and records that settings have as their types. A variant is written by its name, \
                with its own settings in braces: `rename { suffix: \".done\" }`. The types that the language itself \
                has are [there](../language.md#types).",
        wanted: |kind| matches!(kind, ItemKind::Enum(_) | ItemKind::Record(_)),
        entry: type_entry,
    },
];

/// Returns the file and the text of every page, the index first.
fn pages() -> Vec<(String, String)> {
    let text = Text::read();
    let mut index = format!(
        "{MADE}\n# The library\n\nWhat programs can use without declaring it. All of it is written in the language, \
         in [stdlib/src](../stdlib/src); these pages are made of that text. Which parts of it this version checks \
         but can't run yet stands [here](language.md#checked-and-not-yet-carried-out).\n"
    );
    let mut pages = Vec::new();
    for page in &PAGES {
        let entries = text.entries(page.wanted);
        let mut whole = format!("{MADE}\n# {}\n\n{}\n", page.title, page.about);
        let _ = write!(index, "\n## {}\n\n", page.title);
        let mut group = "";
        for entry in &entries {
            let (file, page_name) = (text.group_of(entry), page.file);
            if page_name == "functions.md" && file != group {
                group = file;
                whole += &text.group_heading(entry);
            }
            whole.push('\n');
            whole += &(page.entry)(&text, entry);
            let first = first_sentence(&entry.item.documentation);
            let _ =
                writeln!(index, "- [`{0}`](library/{page_name}#{1}): {first}", entry.name, entry.anchor());
        }
        pages.push((format!("docs/library/{}", page.file), whole));
    }
    pages.insert(0, ("docs/library.md".to_owned(), index));
    pages
}

#[test]
fn the_reference_is_what_the_signatures_say() {
    let mut stale = Vec::new();
    for (name, text) in pages() {
        let path = root().join(&name);
        if std::env::var_os("REFERENCE").is_some_and(|value| value == "write") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "out of date, write it with REFERENCE=write: {stale:?}");
}

#[test]
fn everything_that_the_library_has_is_in_the_reference() {
    let shown: usize = PAGES.iter().map(|page| Text::read().entries(page.wanted).len()).sum();
    assert_eq!(shown, Text::read().entries(|_| true).len());
}
