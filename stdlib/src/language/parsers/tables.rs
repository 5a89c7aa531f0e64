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
    let names: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
    let cells = match table.format {
        TableFormat::Csv => csv_cells(&text, &names),
        TableFormat::Json => json_cells(&text, &names),
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
        let span = (!is_missing(cell)).then(|| 0..texts.value(row).len());
        let appended = column.append(&texts, row, span);
        appended.map_err(|reason| format!("row {}: {reason}", row + 1))?;
    }
    column.finish(&texts).map_err(|error| error.to_string())
}

/// Reads the cells of CSV (RFC 4180), whose first line has the names of the columns.
fn csv_cells(text: &[u8], names: &[&str]) -> Result<Vec<Cells>, String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let header = reader.byte_headers().map_err(|error| error.to_string())?.clone();
    let places: Vec<Option<usize>> =
        names.iter().map(|name| header.iter().position(|column| column == name.as_bytes())).collect();
    let mut cells = vec![Cells::new(); names.len()];
    for record in reader.byte_records() {
        let record = record.map_err(|error| error.to_string())?;
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
    fn rows_are_read_from_csv_and_json() {
        let files = [
            ("a.csv", "\u{feff}people,more,code\r\n83,x,\"DE\"\r\n,,FR\r\n"),
            ("a.json", "[{\"code\": \"DE\", \"people\": 83, \"more\": [1]}, {\"code\": \"FR\"}]"),
            ("a.jsonl", "{\"code\": \"DE\", \"people\": 83}\n{\"code\": \"FR\", \"people\": null}\n"),
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
        assert!(wrong("a.csv", "people\n83\n").contains("row 1: the body has no field `code`"));
        assert!(wrong("a.json", "[{\"code\": \"DE\"}, 3]").contains("row 2 is no object"));
        assert!(wrong("a.json", "[{").contains("EOF"));
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
