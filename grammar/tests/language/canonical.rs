//! The canonical form of typical programs.

use std::path::{Path, PathBuf};

use weir_grammar::{FileId, format, parse};

use crate::format::check;

/// Folders of the repository whose files are in canonical form.
const CANONICAL: [&str; 4] = ["examples", "stdlib/src", "tests/language/right", "tests/end_to_end/flows"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Lists the `.flow` files in a folder and its subfolders.
fn flow_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".flow") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_file_of_the_repository_keeps_its_tree() {
    let files = flow_files(&repository());
    assert!(files.len() > 20);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if parse(FileId(0), &text).errors.is_empty() {
            check(&text);
        }
    }
}

#[test]
fn programs_and_library_are_in_canonical_form() {
    for folder in CANONICAL {
        for file in flow_files(&repository().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let formatted = format(FileId(0), &text).unwrap();
            assert!(text == formatted, "{} is not in canonical form: `weir fmt` makes it so", file.display());
        }
    }
}

/// Compares with the snapshot of the test's name.
#[track_caller]
fn assert_shown(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown(text)));
}

/// Snapshots show a text and what becomes of it.
fn shown(text: &str) -> String {
    check(text);
    format!("{text}\n=>\n\n{}", format(FileId(0), text).unwrap())
}

#[test]
fn items_and_blank_lines() {
    assert_shown(
        "items_and_blank_lines",
        "//! What it is for.\nimport   \"a.flow\"\nimport \"b.flow\"   as b\n\n\n\nparam topic:Text=\"clicks\"\n\
         param  many : [ Address ]=[ ]\nlet hour=1h\n\n\n\nlet day = 24*hour\n  source in=generate{}\n\
         sink `out`=stdout{ }\nflow main{in->out}\nagent{memory:1GiB}\n\n\n",
    );
}

#[test]
fn comments_everywhere() {
    assert_shown(
        "comments_everywhere",
        "// before all\n\n//! of the file\n/// of the source\n\n// and more\nsource clicks = kafka { // behind a brace\n\n  \
         // before an entry\n  topics: [ // behind a bracket\n    \"a\", // behind an element\n    // before an element\n    \
         \"b\" // behind the last\n    // before a bracket\n  ] // behind a list\n  // between entries\n\n  group: \"g\", // behind \
         a comma\n  linger: // behind a colon\n  // before a value\n    5ms\n  // before a brace\n} // behind an item\n\
         // between items\nflow main {\n  clicks // behind a stage\n    // before an arrow\n    -> // behind an arrow\n    \
         keep if ( // behind a parenthesis\n      a // behind an operand\n      and // behind an operator\n      b\n      \
         // before a parenthesis\n    )\n    // before else\n    else // behind else\n    reject\n    -> copy { // branches\n      \
         // the first\n      a\n      // no more\n    }\n}\n/// of nothing\n// at the end",
    );
}

#[test]
fn flows() {
    assert_shown(
        "flows",
        "flow main delivers   exactly_once,ordered   by @key {\n\n\na->b\n  a -> b\n  -> c\n\n\n\n  hot->match{status>=500->alerts,\
         _->rest}\n  hot -> match { status >= 500 and @country in [\"CN\", \"JP\"] -> set @key = user -> alerts_of_the_day, _ -> rest }\n  \
         b -> balance by lower( @key ){x,y}\n  a\n    -> parse csv( separator:\";\",header:true )as Click strict else reject\n    \
         -> reject if duration > 10min and status in 500..=599 because \"slow failures are counted apart\" else drop\n    \
         -> set severity=if status>=500 then \"error\" else if status>=400 then \"warning\" else if status>=300 then \"notice\" else \"fine\"\n    \
         -> set text=match status{200..=299|304=>\"fine\",_=>\"odd\"}else null\n    -> dedupe by @key within 10min -> throttle 10MiB/s\n    \
         -> copy{lake,optional keep if a->hot}\n\n  rejects->dead\n\n}",
    );
}

#[test]
fn expressions() {
    assert_shown(
        "expressions",
        "let a=not x and-y- -z*3..=w ?? 1\nlet b=(((a)))[0].c\n\
         let c=first_condition_of_all and second_condition_of_all or third_condition_of_all and not fourth_condition\n\
         let d=[1000000000,2000000000,3000000000,4000000000,5000000000,6000000000,7000000000,8000000000,9000000000]\n\
         let e=[\n{a:1},{b:2}]\nlet f=[{a:1\nb:2}]\nlet g=secret env( \"A\" )\nlet h=a is not null and b is empty\n\
         let i=concatenation_of_all(first: first_of_all_arguments, second: second_of_all_arguments, third: 3)\n\
         let j=first_of_all_summands + second_of_all_summands * third_of_all_summands + fourth_of_all_summands\n\
         let k=\"as {it:%Y}  is \\\"\"\nlet l=match{a=>match b{1=>2\n_=>3},_=>4}\nlet m=tls{ca:\"ca.pem\"}\n",
    );
}

#[test]
fn library() {
    assert_shown(
        "library",
        "/// Doc.\nextern   sink kafka:plain default{\n  /// The brokers.\n  brokers:[Address]\n  batch:Int   in 1 ..= 100_000=4_096\n  \
         ratio: Float exclusive in -1..\n\n\n  emits{@topic:Text\n  /// The body.\n  body:Bytes}\n  requires linger<timeout because \"x\"\n  \
         requires transaction_capacity <= capacity\n    because \"a transaction larger than the channel could never be committed\"\n  \
         puts batch*3/8   if ratio>1.0 because\n \"y\"\n  holds roll . age because \"z\"\n  uses   memory batch*24B  if a==b because \"m\"\n  uses disk  1MiB because \"d\"\n  \
         stores  capacity because \"s\"\n rolls   roll . age because \"r\"\n  \
         orders  by   @key if a==b because \"o\"\n  reads  topics   within brokers\n  writes topic\n}\n\
         extern parser json:typed{}\nextern fn min< T:Ordered >( a:T,b:T|Text )->T? varies fails because \"never\"\n\
         enum Acks{none,\n/// One.\nleader{a:Int},all,}\nenum Two{a,b}\nrecord Roll{size:Size=1MiB,age:Duration}\n\
         schema Click{ user:Text sensitive,took:Duration? in ms\nlong_name:Decimal( 10,2 )\n/// Doc.\nat:Time as \"%d\" }\n\
         fn f(a:Int,b:field Text=1)->Map<Text>{let c=a\nc+1}\ninterceptor t(f:field){set f=1,unset g}\nquality q{a:b>1 because \"c\"\nd}\n",
    );
}

#[test]
fn line_ends_are_normalised_and_a_byte_order_mark_is_removed() {
    let text = "\u{feff}let a = 1 // b\r\n\r\n\r\nsource c = d {\r\n  e: \"f\"\r\n}\r\n";
    assert_eq!(format(FileId(0), text).unwrap(), "let a = 1  // b\n\nsource c = d {\n  e: \"f\"\n}\n");
}

#[test]
fn empty_files_stay_empty() {
    for text in ["", "\n", " \n\n\t\n", "\u{feff}"] {
        assert_eq!(format(FileId(0), text).unwrap(), "");
    }
    assert_eq!(format(FileId(0), "\n\n// only this").unwrap(), "// only this\n");
}

#[test]
fn a_text_with_syntax_errors_is_not_formatted() {
    let errors = format(FileId(0), "let a 1\nlet b = 2").unwrap_err();
    assert_eq!(errors.len(), 1);
}
