//! The habits: each writes a foreign form in a line of a correct program.

/// A habit: the text that it replaces, and the foreign text.
pub(super) struct Habit {
    pub(super) name: &'static str,
    /// Returns the changed text for a place where the habit fits.
    pub(super) apply: fn(&Site<'_>) -> Option<String>,
}

/// A place in a program: the line, and the place of a word or mark in it.
pub(super) struct Site<'t> {
    pub(super) line: &'t str,
    pub(super) at: usize,
}

impl<'t> Site<'t> {
    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    pub(super) fn before(&self) -> &'t str {
        &self.line[..self.at]
    }

    /// Returns the line with another text for the one at the place.
    fn with(&self, found: &str, replacement: &str) -> Option<String> {
        let after = self.rest().strip_prefix(found)?;
        Some(format!("{}{replacement}{after}", self.before()))
    }

    /// Returns whether the place is in a text or a comment.
    pub(super) fn is_quoted(&self) -> bool {
        let before = self.before();
        before.contains("//") || before.replace("\\\"", "").matches('"').count() % 2 == 1
    }

    fn is_word_start(&self) -> bool {
        let is_of_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '@' | '`' | '.');
        !self.before().ends_with(is_of_word)
    }

    fn word(&self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    }

    fn is_first(&self) -> bool {
        self.before().trim().is_empty()
    }

    /// Returns the line with another word for the word at the place.
    fn word_with(&self, found: &str, replacement: &str) -> Option<String> {
        (self.is_word_start() && self.word() == found && !self.rest()[found.len()..].starts_with(':'))
            .then(|| self.with(found, replacement))
            .flatten()
    }
}

/// Words of items at the beginning of a line.
fn begins_item(site: &Site<'_>) -> bool {
    let words = ["source", "channel", "sink", "flow", "let", "param", "schema", "fn"];
    site.at == 0 && words.contains(&site.word()) && site.line[site.word().len()..].starts_with(' ')
}

/// The plain text in quotes at the place.
fn text<'t>(site: &Site<'t>) -> Option<&'t str> {
    let inner = site.rest().strip_prefix('"')?;
    let content = &inner[..inner.find('"')?];
    let opens = site.before().matches('"').count().is_multiple_of(2);
    (opens && !site.before().ends_with('r') && !content.contains(['\'', '\\', '{', '}'])).then_some(content)
}

pub(super) const ALL: [Habit; 59] = [
    Habit { name: "hash comment", apply: |site| begins_item(site).then(|| format!("# note\n{}", site.line)) },
    Habit {
        name: "dash comment",
        apply: |site| begins_item(site).then(|| format!("-- note\n{}", site.line)),
    },
    Habit {
        name: "block comment",
        apply: |site| begins_item(site).then(|| format!("/* note */\n{}", site.line)),
    },
    Habit { name: "stray mark", apply: |site| begins_item(site).then(|| format!("- {}", site.line)) },
    Habit {
        name: "blank without a break",
        apply: |site| begins_item(site).then(|| site.line.replacen(' ', "\u{a0}", 1)),
    },
    Habit {
        name: "hash comment behind code",
        apply: |site| {
            let whole = site.at == 0 && !site.line.contains(['"', '/', '#']) && !site.line.trim().is_empty();
            whole.then(|| format!("{} # note", site.line))
        },
    },
    Habit {
        name: "semicolon",
        apply: |site| {
            let ends = site.line.ends_with('}') && site.at == 0 && !site.line.contains("//");
            ends.then(|| format!("{};", site.line))
        },
    },
    Habit {
        name: "single quotes",
        apply: |site| {
            text(site).and_then(|content| site.with(&format!("\"{content}\""), &format!("'{content}'")))
        },
    },
    Habit {
        name: "curly quotes",
        apply: |site| {
            text(site).and_then(|content| site.with(&format!("\"{content}\""), &format!("“{content}”")))
        },
    },
    Habit { name: "one character as arrow", apply: |site| site.with("-> ", "→ ") },
    Habit { name: "two dashes as arrow", apply: |site| site.with("-> ", "--> ").filter(|_| in_flow(site)) },
    Habit { name: "and as a mark", apply: |site| site.word_with("and", "&&").filter(|_| !site.is_first()) },
    Habit { name: "or as a mark", apply: |site| site.word_with("or", "||").filter(|_| !site.is_first()) },
    Habit {
        name: "and in capitals",
        apply: |site| site.word_with("and", "AND").filter(|_| !site.is_first()),
    },
    Habit { name: "or in capitals", apply: |site| site.word_with("or", "OR").filter(|_| !site.is_first()) },
    Habit {
        name: "not as a mark",
        apply: |site| {
            site.word_with("not", "!")
                .filter(|_| !site.before().ends_with("is ") && site.rest().starts_with("not "))
        },
    },
    Habit { name: "matches as a mark", apply: |site| site.word_with("matches", "=~") },
    Habit { name: "true in capitals", apply: |site| site.word_with("true", "True") },
    Habit {
        name: "filter",
        apply: |site| keep_if_with(site, "filter").map(|line| line.replacen("filter if", "filter", 1)),
    },
    Habit {
        name: "if as a step",
        apply: |site| keep_if_with(site, "").map(|line| line.replacen(" if ", "if ", 1)),
    },
    Habit {
        name: "elif",
        apply: |site| {
            site.word_with("else", "elif")
                .map(|line| line.replacen("elif if ", "elif ", 1))
                .filter(|_| site.rest().starts_with("else if "))
        },
    },
    Habit {
        name: "type of another language",
        apply: |site| {
            site.word_with("Text", "String")
                .filter(|_| site.before().ends_with(": ") && !site.line.contains('|'))
        },
    },
    Habit { name: "list in parentheses", apply: list_in_parentheses },
    Habit { name: "equals for a colon", apply: |site| site.with(": ", " = ").filter(|_| is_setting(site)) },
    Habit {
        name: "where",
        apply: |site| keep_if_with(site, "where").map(|line| line.replacen("where if", "where", 1)),
    },
    Habit {
        name: "not equal to null",
        apply: |site| site.with("is not null", "!= null").filter(|_| site.is_word_start()),
    },
    Habit {
        name: "equal to null",
        apply: |site| site.with("is null", "== null").filter(|_| site.is_word_start()),
    },
    Habit { name: "three equals", apply: |site| site.with(" == ", " === ") },
    Habit { name: "less or greater", apply: |site| site.with(" != ", " <> ") },
    Habit { name: "yes", apply: |site| site.word_with("true", "yes") },
    Habit {
        name: "none",
        apply: |site| {
            site.word_with("null", "None").filter(|_| {
                !site.before().ends_with(' ')
                    || site.before().ends_with("else ")
                    || site.before().ends_with(": ")
            })
        },
    },
    Habit { name: "range without its end", apply: |site| site.with("..=", "..").filter(|_| in_flow(site)) },
    Habit { name: "unit apart", apply: unit_apart },
    Habit { name: "amount in quotes", apply: amount_in_quotes },
    Habit {
        name: "thousands with commas",
        apply: |site| thousands(site).and_then(|number| site.with(number, &number.replace('_', ","))),
    },
    Habit {
        name: "variant in quotes",
        apply: |site| {
            let word = site.word();
            let fits =
                ["compress: ", "mode: ", "acks: "].iter().any(|setting| site.before().ends_with(setting));
            (fits && !site.rest()[word.len()..].trim_start().starts_with('{'))
                .then(|| site.with(word, &format!("\"{word}\"")))
                .flatten()
        },
    },
    Habit {
        name: "header without its mark",
        apply: |site| site.with("@", "").filter(|_| site.before().ends_with("headers: [")),
    },
    Habit { name: "method", apply: method },
    Habit { name: "len", apply: |site| site.word_with("length", "len").filter(|_| is_call(site)) },
    Habit { name: "str", apply: |site| site.word_with("text", "str").filter(|_| is_call(site)) },
    Habit { name: "mask", apply: |site| site.word_with("redact", "mask").filter(|_| is_call(site)) },
    Habit {
        name: "integer",
        apply: |site| site.word_with("Int", "Integer").filter(|_| site.before().ends_with(": ")),
    },
    Habit { name: "optional name", apply: optional_name },
    Habit {
        name: "map with a type of keys",
        apply: |site| site.with("Map<", "Map<Text, ").filter(|_| site.is_word_start()),
    },
    Habit {
        name: "else as the last arm",
        apply: |site| site.with("_ -> ", "else -> ").filter(|_| site.is_first()),
    },
    Habit {
        name: "default as the last arm",
        apply: |site| site.with("_ => ", "default => ").filter(|_| site.is_first()),
    },
    Habit { name: "pipeline", apply: |site| site.word_with("flow", "pipeline").filter(|_| site.at == 0) },
    Habit {
        name: "interceptor without parentheses",
        apply: |site| {
            let word = site.word();
            (site.before().ends_with("-> ") && !word.is_empty())
                .then(|| site.with(&format!("{word}()"), word))
                .flatten()
        },
    },
    Habit { name: "settings in parentheses", apply: settings_in_parentheses },
    Habit {
        name: "select without braces",
        apply: |site| {
            let fields = site.rest().strip_prefix("select { ")?;
            let fields = &fields[..fields.find(" }")?];
            site.with(&format!("select {{ {fields} }}"), &format!("select {fields}"))
        },
    },
    Habit { name: "or else", apply: |site| site.with(" ?? ", " ?: ") },
    Habit {
        name: "space without width",
        apply: |site| begins_item(site).then(|| site.line.replacen(' ', " \u{200b}", 1)),
    },
    Habit {
        name: "line of a property file",
        apply: |site| begins_item(site).then(|| format!("agent.channels.c1.capacity = 1000\n{}", site.line)),
    },
    Habit {
        name: "name with a hyphen",
        apply: |site| {
            let declares =
                ["source ", "channel ", "sink ", "flow "].iter().any(|role| site.before() == *role);
            let word = site.word();
            (declares && word.contains('_')).then(|| site.with(word, &word.replacen('_', "-", 1))).flatten()
        },
    },
    Habit {
        name: "header of Flume in a text",
        apply: |site| {
            let text = site.rest().strip_prefix('"')?;
            let text = &text[..text.find('"')?];
            let hole = &text[text.find("{@")?..];
            let hole = &hole[..=hole.find('}')?];
            let is_plain = !hole.contains(':')
                && site.before().ends_with(" path: ")
                && site.before().matches('"').count().is_multiple_of(2);
            let found = format!("\"{text}\"");
            let written = found.replacen(hole, &format!("%{{{}", &hole[2..]), 1);
            (is_plain && !site.before().ends_with('r')).then(|| site.with(&found, &written)).flatten()
        },
    },
    Habit {
        name: "list of YAML",
        apply: |site| {
            let (name, list) = site.line.split_once(": [\"")?;
            let item = list.strip_suffix("\"]")?;
            let fits =
                site.at == 0 && name.starts_with("  ") && !item.contains('"') && !name.contains(['{', '"']);
            fits.then(|| format!("{name}:\n    - \"{item}\""))
        },
    },
    Habit { name: "return", apply: returned },
    Habit {
        name: "comma forgotten in a list",
        apply: |site| site.with(", ", " ").filter(|_| is_in_list(site)),
    },
    Habit {
        name: "else forgotten",
        apply: |site| {
            let fits = site.before().contains(" then ")
                && site.rest().starts_with("else ")
                && site.line.matches("else").count() == 1;
            let value = site.rest().strip_prefix("else ")?;
            let is_last = !value.contains([' ', '}', '(', ')']);
            (fits && is_last).then(|| site.before().trim_end().to_owned())
        },
    },
];

/// A number with a unit at the place: the digits and the unit.
fn amount<'t>(site: &Site<'t>) -> Option<(&'t str, &'t str)> {
    let is_of_number =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '@' | '%');
    let word = site.word();
    let digits = word.find(|letter: char| !letter.is_ascii_digit() && letter != '_')?;
    let (number, unit) = word.split_at(digits);
    let units = ["ms", "s", "min", "h", "d", "KiB", "MiB", "GiB"];
    let fits = !number.is_empty() && !site.before().ends_with(is_of_number) && units.contains(&unit);
    let after = &site.rest()[word.len()..];
    (fits && !site.is_quoted() && !after.starts_with(['/', '.', '"'])).then_some((number, unit))
}

/// `5s` as `5 s`.
fn unit_apart(site: &Site<'_>) -> Option<String> {
    let (number, unit) = amount(site)?;
    site.with(&format!("{number}{unit}"), &format!("{number} {unit}"))
}

/// `linger: 5s` as `linger: "5s"`.
fn amount_in_quotes(site: &Site<'_>) -> Option<String> {
    let (number, unit) = amount(site)?;
    let is_value = site
        .before()
        .trim_start()
        .split_once(": ")
        .is_some_and(|(name, rest)| rest.is_empty() && !name.contains(' '));
    let amount = format!("{number}{unit}");
    is_value.then(|| site.with(&amount, &format!("\"{amount}\""))).flatten()
}

/// A number such as `1_000_000` at the place.
fn thousands<'t>(site: &Site<'t>) -> Option<&'t str> {
    let word = site.word();
    let is_grouped = word.contains('_') && word.split('_').skip(1).all(|group| group.len() == 3);
    let is_number = word.bytes().all(|letter| letter.is_ascii_digit() || letter == b'_');
    let ends = site.rest()[word.len()..].is_empty();
    (is_grouped && is_number && ends && site.is_word_start()).then_some(word)
}

/// The last line of a function with `return`.
fn returned(site: &Site<'_>) -> Option<String> {
    let (head, body) = site.line.split_once(") -> ")?;
    let (result, body) = body.split_once(" { ")?;
    let fits = site.at == 0 && head.starts_with("fn ") && body.ends_with(" }") && !body.starts_with("let ");
    fits.then(|| format!("{head}) -> {result} {{ return {body}"))
}

/// Returns whether the place is between two numbers or texts of a list.
fn is_in_list(site: &Site<'_>) -> bool {
    let open = site.before().rfind('[');
    let is_open = open.is_some_and(|open| !site.before()[open..].contains([']', '{', '(']));
    let is_value =
        |letter: Option<char>| letter.is_some_and(|letter| letter == '"' || letter.is_ascii_digit());
    is_open && is_value(site.before().chars().next_back()) && is_value(site.rest().chars().nth(2))
}

fn is_call(site: &Site<'_>) -> bool {
    site.rest()[site.word().len()..].starts_with('(')
}

/// `lower(name)` as `name.lower()`.
fn method(site: &Site<'_>) -> Option<String> {
    let word = site.word();
    let fits = ["lower", "upper", "trim", "length"].contains(&word) && site.is_word_start();
    let argument = site.rest().get(word.len()..)?.strip_prefix('(')?;
    let argument = &argument[..argument.find(')')?];
    let is_name = argument.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_');
    (fits && is_name)
        .then(|| site.with(&format!("{word}({argument})"), &format!("{argument}.{word}()")))
        .flatten()
}

/// `tags: Text?` as `tags?: Text`.
fn optional_name(site: &Site<'_>) -> Option<String> {
    let name = site.word();
    let value = site.rest().get(name.len()..)?.strip_prefix(": ")?;
    let end = value.find(|letter: char| !letter.is_ascii_alphanumeric())?;
    let fits = site.is_first() && !name.is_empty() && end > 0 && value[end..].starts_with('?');
    let (value_type, found) = (&value[..end], format!("{name}: {}?", &value[..end]));
    fits.then(|| site.with(&found, &format!("{name}?: {value_type}"))).flatten()
}

/// `json { pretty: true }` as `json(pretty: true)`.
fn settings_in_parentheses(site: &Site<'_>) -> Option<String> {
    let word = site.word();
    let settings = site.rest().get(word.len()..)?.strip_prefix(" { ")?;
    let settings = &settings[..settings.find(" }")?];
    let fits = site.before().trim_start().ends_with("format: ") && !settings.contains('{');
    fits.then(|| site.with(&format!("{word} {{ {settings} }}"), &format!("{word}({settings})"))).flatten()
}

/// Writes another word for the `keep` of `keep if`, in a line that has no other `if`.
fn keep_if_with(site: &Site<'_>, word: &str) -> Option<String> {
    let fits = site.rest().starts_with("keep if ") && !site.line.contains(" then ");
    site.word_with("keep", word).filter(|_| fits)
}

/// `in [1, 2]` as `in (1, 2)`.
fn list_in_parentheses(site: &Site<'_>) -> Option<String> {
    let inner = site.rest().strip_prefix('[')?;
    let content = &inner[..inner.find(']')?];
    let fits = site.before().ends_with(" in ") && content.contains(',') && !content.contains(['[', '(', '"']);
    fits.then(|| site.with(&format!("[{content}]"), &format!("({content})"))).flatten()
}

/// Returns whether a line is one of a flow, by its look.
fn in_flow(site: &Site<'_>) -> bool {
    site.line.trim_start().starts_with("->")
}

/// Returns whether the line is a setting alone: `name: value`.
fn is_setting(site: &Site<'_>) -> bool {
    let name = site.before().trim();
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    is_name && site.line.starts_with("  ") && !site.line.ends_with(['{', ','])
}
