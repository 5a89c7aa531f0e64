//! The names of files in the compiler, and their URIs in the protocol.

use weir_compiler::normalized_path;

const FILE: &str = "file://";

/// Returns the name of the file with this URI: the absolute path of a `file:` URI, or else the URI itself.
pub(crate) fn name(uri: &str) -> String {
    let Some(rest) = uri.strip_prefix(FILE) else { return uri.to_owned() };
    // A host other than this machine has no meaning here.
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    normalized_path(&decoded(path))
}

/// Returns the URI of the file with this name.
pub(crate) fn uri(name: &str) -> String {
    match name.starts_with('/') {
        true => format!("{FILE}{}", encoded(name)),
        false => name.to_owned(),
    }
}

/// Replaces `%41` by the byte. Malformed escapes stay.
fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
        let escaped = code.filter(|_| *byte == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

/// Escapes the bytes that RFC 3986 does not allow in a path.
fn encoded(path: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=@".contains(&byte);
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if allowed(byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Returns the folder of a file, without a slash at its end; `None` for a name without a folder.
pub(crate) fn folder(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(folder, _)| folder)
}

/// Returns whether a file is in a folder or one of its subfolders.
pub(crate) fn is_in(name: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_from_its_uri() {
        for path in ["/a/b.flow", "/a b/ü%.flow", "/c#d?.flow", "/[x]:1/a.flow"] {
            assert_eq!(name(&uri(path)), path);
        }
        assert_eq!(name("file:///a/../b%20c.flow"), "/b c.flow");
        assert_eq!(name("file://localhost/a.flow"), "/a.flow");
        assert_eq!(name("file://%zz/%4"), "/%4");
        assert_eq!(name("untitled:Untitled-1"), "untitled:Untitled-1");
        assert_eq!(uri("untitled:Untitled-1"), "untitled:Untitled-1");
    }

    #[test]
    fn folders_contain_their_files() {
        assert!(is_in("/a/b/c.flow", "/a") && is_in("/a/c.flow", "/a/") && !is_in("/ab/c.flow", "/a"));
        assert_eq!(folder("/a/b.flow"), Some("/a"));
    }
}
