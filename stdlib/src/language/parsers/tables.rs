//! Reads lookup tables: files of CSV or JSON whose rows have the fields of a schema.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryViewArray, StructArray};
use arrow_schema::DataType;
use serde_json::Value;
use weir_plan::{Table, TableFormat};
use weir_runtime::expressions::TableRows;
use weir_runtime::parsers::WantedField;

use super::columns::Field;

/// The texts of one field, by row; none where a row has no value.
type Cells = Vec<Option<Vec<u8>>>;

/// Reads a table whose rows are of this type.
///
/// # Errors
/// When the file can't be read, or a value in it, in words for the user.
pub(crate) fn read(table: &Table, row_type: &DataType) -> Result<TableRows, String> {
    let DataType::Struct(types) = row_type else { return Err("its rows are no records".to_owned()) };
    let text = std::fs::read(&table.path).map_err(|error| format!("it can't be read: {error}"))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    if let Err(error) = std::str::from_utf8(text) {
        let line = 1 + memchr::memchr_iter(b'\n', &text[..error.valid_up_to()]).count();
        return Err(format!("line {line} is not UTF-8: save the file as UTF-8"));
    }
    let names: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
    let cells = match table.format {
        TableFormat::Csv => csv_cells(text, &names),
        TableFormat::Json => json_cells(text, &names),
    }?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
    for ((field, data_type), cells) in table.fields.iter().zip(types).zip(cells) {
        columns.push(column(&WantedField::of(field, data_type), cells)?);
    }
    let key = names.iter().position(|name| *name == table.key).ok_or("it has no key")?;
    let keys = columns[key].as_string_view_opt().ok_or("its key is no Text")?.clone();
    let rows = StructArray::try_new(types.clone(), columns, None).map_err(|error| error.to_string())?;
    Ok(TableRows { keys, rows: Arc::new(rows) })
}

/// Reads the values of a field. Rows are counted from 1.
fn column(wanted: &WantedField, cells: Cells) -> Result<ArrayRef, String> {
    let field = Field::single(wanted)?;
    // An empty value is null where the field may be, as in the parser `csv`.
    let is_missing = |cell: &Option<Vec<u8>>| match cell {
        Some(text) => wanted.nullable && text.is_empty(),
        None => true,
    };
    let texts: BinaryViewArray = cells.iter().map(|cell| Some(cell.as_deref().unwrap_or_default())).collect();
    let mut column = field.column(&texts, texts.len());
    for (row, cell) in cells.iter().enumerate() {
        if cell.is_none() && !wanted.nullable {
            return Err(format!("row {} has no `{}`", row + 1, wanted.name));
        }
        let span = (!is_missing(cell)).then(|| 0..texts.value(row).len());
        let appended = column.append(&texts, row, span);
        appended.map_err(|reason| format!("row {}: {reason}", row + 1))?;
    }
    column.finish(&texts).map_err(|error| error.to_string())
}

/// Reads the cells of CSV (RFC 4180), whose first line has the names of the columns.
fn csv_cells(text: &[u8], names: &[&str]) -> Result<Vec<Cells>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let header = reader.byte_headers().map_err(|error| error.to_string())?.clone();
    let columns: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    if columns.is_empty() {
        return Err("it is empty: its first line has the names of the columns".to_owned());
    }
    if let Some(twice) = names.iter().find(|name| columns.iter().filter(|column| column == name).count() > 1)
    {
        return Err(format!("two columns have the name `{twice}`"));
    }
    let places: Vec<Option<usize>> =
        names.iter().map(|name| columns.iter().position(|column| column == name)).collect();
    if let Some(name) = names.iter().zip(&places).find_map(|(name, place)| place.is_none().then_some(name)) {
        let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        return Err(format!("its first line has no column `{name}`: it has {}", columns.join(", ")));
    }
    let mut cells = vec![Cells::new(); names.len()];
    let (mut record, mut row) = (csv::ByteRecord::new(), 0);
    while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
        row += 1;
        let begin = record.position().map_or(0, csv::Position::byte) as usize;
        let end = (reader.position().byte() as usize).min(text.len());
        // The crate takes a quote that is never closed for one that is closed at the end of the file.
        if text.get(begin..end).unwrap_or_default().iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            return Err(format!("row {row}: a quote is not closed; a quote within quotes is written twice"));
        }
        for (cells, place) in cells.iter_mut().zip(&places) {
            cells.push(place.and_then(|place| record.get(place)).map(<[u8]>::to_vec));
        }
    }
    Ok(cells)
}

/// Reads the cells of JSON: a list of objects, or an object on each line.
fn json_cells(text: &[u8], names: &[&str]) -> Result<Vec<Cells>, String> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        match value.map_err(|error| error.to_string())? {
            Value::Array(items) => objects.extend(items),
            other => objects.push(other),
        }
    }
    if text.trim_ascii().is_empty() {
        return Err("it is empty: it has a list of objects, or an object on each line".to_owned());
    }
    let mut cells = vec![Cells::new(); names.len()];
    for (row, object) in objects.into_iter().enumerate() {
        let Value::Object(mut object) = object else { return Err(format!("row {} is no object", row + 1)) };
        for (cells, name) in cells.iter_mut().zip(names) {
            cells.push(match object.remove(*name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.into_bytes()),
                Some(other) => Some(other.to_string().into_bytes()),
            });
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int64Type;
    use arrow_schema::Field;
    use weir_plan::ParsedField;

    use super::*;

    /// Reads a table with the fields `code` and `people`, of which only `people` may be null.
    fn table(name: &str, text: &str) -> Result<TableRows, String> {
        table_of_bytes(name, text.as_bytes())
    }

    fn table_of_bytes(name: &str, text: &[u8]) -> Result<TableRows, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let field = |name: &str| ParsedField { name: name.to_owned(), ..ParsedField::default() };
        let format = if name.ends_with("csv") { TableFormat::Csv } else { TableFormat::Json };
        let path = path.to_string_lossy().into_owned();
        let fields = vec![field("code"), field("people")];
        let fields_of_rows =
            vec![Field::new("code", DataType::Utf8View, false), Field::new("people", DataType::Int64, true)];
        read(
            &Table { path, format, key: "code".to_owned(), fields },
            &DataType::Struct(fields_of_rows.into()),
        )
    }

    #[test]
    fn a_file_in_another_encoding_is_refused_with_its_line() {
        let refused = table_of_bytes("a.csv", b"code,people\nDE,1\nK\xf6ln,2\n").err();
        assert_eq!(refused.as_deref(), Some("line 3 is not UTF-8: save the file as UTF-8"));
        let refused = table_of_bytes("a.json", b"[{\"code\": \"K\xf6ln\"}]").err();
        assert!(refused.is_some_and(|why| why.starts_with("line 1 is not")));
    }

    #[test]
    fn rows_are_read_from_csv_and_json() {
        let files = [
            ("a.csv", "\u{feff}people,more,code\r\n83,x,\"DE\"\r\n,\"a\"\"\r\nb\",FR\r\n"),
            ("a.json", "[{\"code\": \"DE\", \"people\": 83, \"more\": [1]}, {\"code\": \"FR\"}]"),
            ("a.jsonl", "\u{feff}{\"code\": \"DE\", \"people\": 83}\n{\"code\": \"FR\", \"people\": null}\n"),
        ];
        for (name, text) in files {
            let TableRows { keys, rows } = table(name, text).unwrap();
            assert_eq!(keys.iter().collect::<Vec<_>>(), [Some("DE"), Some("FR")], "{name}");
            let people = rows.as_struct().column(1).as_primitive::<Int64Type>();
            assert_eq!(people.iter().collect::<Vec<_>>(), [Some(83), None], "{name}");
        }
    }

    #[test]
    fn a_value_that_can_not_be_read_is_an_error_with_its_row() {
        let wrong = |name, text| table(name, text).err().unwrap();
        assert!(wrong("a.csv", "code,people\nDE,83\nFR,many\n").starts_with("row 2: field `people`"));
        let columns = wrong("a.csv", "code, people\nDE,83\n");
        assert_eq!(columns, "its first line has no column `people`: it has `code`, ` people`");
        assert_eq!(wrong("a.csv", "code,people,code\nDE,83,FR\n"), "two columns have the name `code`");
        assert!(wrong("a.csv", "").starts_with("it is empty"));
        let unclosed = "code,people\nDE,83\n\"FR,68\nIT,59\n";
        assert!(wrong("a.csv", unclosed).starts_with("row 2: a quote is not closed"));
        assert_eq!(wrong("a.json", "[{\"people\": 3}]"), "row 1 has no `code`");
        assert!(wrong("a.json", "[{\"code\": \"DE\"}, 3]").contains("row 2 is no object"));
        assert!(wrong("a.json", "[{").contains("EOF"));
        assert!(wrong("a.json", "\n").starts_with("it is empty"));
        assert!(read_missing().contains("it can't be read"));
    }

    fn read_missing() -> String {
        let table = Table {
            path: "no/such/file.csv".to_owned(),
            format: TableFormat::Csv,
            key: "code".to_owned(),
            fields: Vec::new(),
        };
        read(&table, &DataType::Struct(Vec::<Field>::new().into())).err().unwrap()
    }
}
