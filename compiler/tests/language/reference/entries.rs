//! The entry of one item in the reference.

use std::fmt::Write;

use weir_grammar::Span;
use weir_grammar::tree::{
    Amount, AmountKind, Column, ExposesClause, ItemKind, OrderClause, Requirement, Setting, Shortfall,
    Signature, TypeName, TypeNameKind,
};

use super::library::{Entry, Text, markdown, one_line};

/// Returns the entry of a source, a channel or a sink.
pub(super) fn component(text: &Text, entry: &Entry<'_>) -> String {
    let ItemKind::Extern(item) = &entry.item.kind else { return String::new() };
    let default = if item.default { ", the default kind" } else { "" };
    let mut page = heading(entry);
    let _ = write!(page, "Delivery class: `{}`{default}.\n\n", item.class.text);
    page += &markdown(&entry.item.documentation);
    page += &signature(text, &item.signature);
    page += &columns(text, "Its events have:", item.signature.emits.as_deref());
    page += &columns(text, "Its events must have:", item.signature.needs.as_deref());
    page
}

pub(super) fn parser(text: &Text, entry: &Entry<'_>) -> String {
    let ItemKind::ExternParser(item) = &entry.item.kind else { return String::new() };
    let mut page = heading(entry) + &markdown(&entry.item.documentation);
    page += match &*item.class.text {
        "typed" => "\nIts fields are those of the schema that the step names: `as Schema`.\n",
        "groups" => "\nIts fields are the named groups, or those of the schema that the step names.\n",
        _ => "",
    };
    page += &signature(text, &item.signature);
    page += &columns(text, "Its fields are:", item.signature.emits.as_deref());
    page
}

pub(super) fn interceptor(text: &Text, entry: &Entry<'_>) -> String {
    let whole = text.slice(entry.item.span);
    format!("{}{}\n```flow part\n{whole}\n```\n", heading(entry), markdown(&entry.item.documentation))
}

pub(super) fn function(text: &Text, entry: &Entry<'_>) -> String {
    let ItemKind::ExternFunction(item) = &entry.item.kind else { return String::new() };
    let usage = Span { start: item.name.span.start, ..item.result.span };
    let mut page = format!("### {}\n\n`{}`\n\n", entry.name, text.slice(usage));
    page += &markdown(&entry.item.documentation);
    if let Some(because) = &item.fails {
        let _ = write!(page, "\nCan fail: {}.\n", because.text);
    }
    if item.varies {
        page += "\nVaries: not the same from call to call, or from machine to machine.\n";
    }
    if item.masks {
        page += "\nMasks: its result is not sensitive, whatever it is given.\n";
    }
    let bounds = item.type_parameters.iter().map(|parameter| {
        let bound = match &*parameter.bound.text {
            "Plain" => "any type but `Json`",
            "Ordered" => "any type whose values have an order",
            "Number" => "any type of numbers, durations or sizes",
            _ => "any type",
        };
        format!("\n`{}` is {bound}.\n", parameter.name.text)
    });
    page.extend(bounds);
    page
}

pub(super) fn type_entry(text: &Text, entry: &Entry<'_>) -> String {
    let mut page = heading(entry) + &markdown(&entry.item.documentation);
    match &entry.item.kind {
        ItemKind::Record(record) => page += &signature(text, &record.signature),
        ItemKind::Enum(item) => {
            page.push('\n');
            for variant in &item.variants {
                let _ = writeln!(page, "- **`{}`**: {}", variant.name.text, one_line(&variant.documentation));
                let Some(signature) = &variant.signature else { continue };
                for setting in &signature.settings {
                    let shown = declared(text, setting);
                    let _ = writeln!(page, "  - `{shown}`: {}", one_line(&setting.documentation));
                }
                for column in signature.needs.iter().flatten() {
                    let _ = writeln!(
                        page,
                        "  - Events must have `{}`.",
                        text.slice(column.name.span.to(column.type_name.span))
                    );
                }
                for shortfall in &signature.shortfalls {
                    let _ = writeln!(page, "  - {}", may(text, shortfall));
                }
                for clause in &signature.exposes {
                    let _ = writeln!(page, "  - {}", exposed(text, clause));
                }
                for requirement in &signature.requires {
                    let _ = writeln!(page, "  - {}", required(text, requirement));
                }
            }
        }
        _ => {}
    }
    page
}

fn heading(entry: &Entry<'_>) -> String {
    format!("## {}\n\n", entry.name)
}

/// Returns a setting as it is declared: name, type, range and default.
fn declared(text: &Text, setting: &Setting) -> String {
    let mut shown = format!("{}: {}", setting.name.text, text.slice(setting.type_name.span));
    if let Some(range) = &setting.range {
        let _ = write!(shown, " in {}", text.slice(range.span));
    }
    if let Some(default) = &setting.default {
        let _ = write!(shown, " = {}", text.slice(default.span));
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns a table of settings, with the requirements between them.
fn signature(text: &Text, signature: &Signature) -> String {
    let mut table = String::new();
    if !signature.settings.is_empty() {
        table += "\n| setting | type | default | |\n| --- | --- | --- | --- |\n";
    }
    for setting in &signature.settings {
        let mut value_type = linked(text, &setting.type_name);
        if let Some(range) = &setting.range {
            let _ = write!(value_type, " in `{}`", text.slice(range.span));
        }
        if let Some(exclusive) = &setting.exclusive {
            value_type += ", no two components the same";
            if let Some(condition) = &exclusive.unless {
                let _ = write!(value_type, "; those with `{}` are apart", text.slice(condition.span));
            }
        }
        let default = match (&setting.default, setting.type_name.optional) {
            (Some(default), _) => format!("`{}`", text.slice(default.span)),
            (None, true) => "none".to_owned(),
            (None, false) => "**required**".to_owned(),
        };
        let about = one_line(&setting.documentation);
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            setting.name.text,
            cell(&value_type),
            cell(&default),
            cell(&about)
        );
    }
    let Signature { requires, shortfalls, orders, amounts, exposes, .. } = signature;
    let has_clauses = !requires.is_empty() || !shortfalls.is_empty() || !orders.is_empty();
    if has_clauses || !amounts.is_empty() || !exposes.is_empty() {
        table.push('\n');
    }
    for shortfall in &signature.shortfalls {
        let _ = writeln!(table, "- {}", may(text, shortfall));
    }
    for clause in &signature.orders {
        let _ = writeln!(table, "- {}", order(text, clause));
    }
    for clause in &signature.exposes {
        let _ = writeln!(table, "- {}", exposed(text, clause));
    }
    for requirement in &signature.requires {
        let _ = writeln!(table, "- {}", required(text, requirement));
    }
    for amount in &signature.amounts {
        let _ = writeln!(table, "- {}", at_most(text, amount));
    }
    table
}

fn may(text: &Text, shortfall: &Shortfall) -> String {
    let what = if shortfall.loses { "lost" } else { "repeated" };
    let when = shortfall.condition.as_ref().map(|condition| format!(" if `{}`", text.slice(condition.span)));
    format!("Events may be {what}{}: {}.", when.unwrap_or_default(), shortfall.because.text)
}

fn exposed(text: &Text, clause: &ExposesClause) -> String {
    let what = match &*clause.what.text {
        "link" => "Its connections are in plain text",
        "secret" => "Sends secrets in plain text",
        "entry" => "Anybody who reaches its port may send",
        _ => "Can't be sure of its peer",
    };
    let when = clause.condition.as_ref().map(|condition| format!(" if `{}`", text.slice(condition.span)));
    format!("{what}{}: {}.", when.unwrap_or_default(), clause.because.text)
}

fn order(text: &Text, clause: &OrderClause) -> String {
    let name = &clause.name.text;
    let what = match (clause.by, &**name) {
        (true, _) => format!("Keeps the order of events with equal `{name}`"),
        (false, "totally") => "Keeps the order of all its events".to_owned(),
        (false, "once") => "Keeps no order of events that may come again".to_owned(),
        (false, _) => "Keeps no order".to_owned(),
    };
    let when = clause.condition.as_ref().map(|condition| format!(" if `{}`", text.slice(condition.span)));
    format!("{what}{}: {}.", when.unwrap_or_default(), clause.because.text)
}

fn at_most(text: &Text, amount: &Amount) -> String {
    let what = match amount.kind {
        AmountKind::Puts => "Puts at once at most",
        AmountKind::Takes => "Takes at once at most",
        AmountKind::Waits => "Waits for delivery for at most",
        AmountKind::Holds => "May hold events for",
        AmountKind::Memory => "Takes memory of at most",
        AmountKind::Stores => "Stores at most",
        AmountKind::Rolls => "Closes a file after",
        AmountKind::Disk => "Takes disk space of at most",
    };
    let when = amount.condition.as_ref().map(|condition| format!(" if `{}`", text.slice(condition.span)));
    let (when, most) = (when.unwrap_or_default(), text.slice(amount.most.span));
    format!("{what} `{most}`{when}: {}.", amount.because.text)
}

fn required(text: &Text, requirement: &Requirement) -> String {
    let condition = one_line(text.slice(requirement.condition.span));
    format!("Required: `{condition}`, because {}.", requirement.because.text)
}

/// Returns a type, with a link if the library declares it.
fn linked(text: &Text, type_name: &TypeName) -> String {
    let shown = format!("`{}`", text.slice(type_name.span));
    let mut inner = type_name;
    while let TypeNameKind::List(item) | TypeNameKind::Applied(_, item) = &inner.kind {
        inner = item;
    }
    match &inner.kind {
        TypeNameKind::Name(path) if text.has_type(&path.name.text) => {
            format!("[{shown}](types.md#{})", path.name.text.to_lowercase())
        }
        _ => shown,
    }
}

/// Returns a table of headers and fields.
fn columns(text: &Text, title: &str, columns: Option<&[Column]>) -> String {
    let Some(columns) = columns else { return String::new() };
    let mut table = format!("\n{title}\n\n| name | type | |\n| --- | --- | --- |\n");
    for column in columns {
        let about = if &*column.name.text == "body" && column.documentation.is_empty() {
            "The body.".to_owned()
        } else {
            one_line(&column.documentation)
        };
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {} |",
            column.name.text,
            text.slice(column.type_name.span),
            cell(&about)
        );
    }
    table
}

/// Escapes text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
