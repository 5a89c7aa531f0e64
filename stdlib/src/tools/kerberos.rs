//! What the errors of the Kerberos library mean: which of them an operator has to repair, and what a user reads.

/// Codes of errors that an operator has to repair: the principal or the keytab is wrong. Other errors pass, such as a
/// Kerberos server that can't be reached. From the table `krb5_err` of MIT Kerberos, as the GSSAPI reports them.
const WRONG_CREDENTIALS: [i32; 10] = [
    -1_765_328_383, // KRB5KDC_ERR_NAME_EXP: the principal has expired
    -1_765_328_378, // KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN: the Kerberos server does not know the principal
    -1_765_328_370, // KRB5KDC_ERR_ETYPE_NOSUPP: the server accepts none of the keytab's types of keys
    -1_765_328_366, // KRB5KDC_ERR_CLIENT_REVOKED: the principal is locked
    -1_765_328_361, // KRB5KDC_ERR_KEY_EXP: the key has expired
    -1_765_328_360, // KRB5KDC_ERR_PREAUTH_FAILED: the key is wrong
    -1_765_328_353, // KRB5KRB_AP_ERR_BAD_INTEGRITY: the key is wrong, by a server without pre-authentication
    -1_765_328_230, // KRB5_REALM_UNKNOWN: krb5.conf names no server of the realm
    -1_765_328_174, // KRB5_KT_KVNONOTFOUND: the keytab has an outdated key
    -1_765_328_154, // KRB5_KEYTAB_BADVNO: the file is no keytab
];

/// The codes for a keytab without a key of the principal: KRB5_KT_NOTFOUND; and KRB5_FCC_NOFILE, which says that there is no
/// ticket either.
const NO_KEY: [i32; 2] = [-1_765_328_203, -1_765_328_189];

/// What the GSSAPI says before the reason.
const PREFACES: [&str; 2] = [
    "No credentials were supplied, or the credentials were unavailable or inaccessible: ",
    "Unspecified GSS failure.  Minor code may provide more information: ",
];

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoTicketReason {
    /// What a user reads.
    pub(crate) text: String,
    /// Whether the principal or the keytab is wrong, so that only an operator can repair it.
    pub(crate) wrong_credentials: bool,
}

impl NoTicketReason {
    /// Reads the code of Kerberos, and what the library says about it.
    pub(crate) fn of(code: i32, text: &str) -> NoTicketReason {
        let has_no_key = NO_KEY.contains(&code);
        let text = match has_no_key {
            true => "the keytab has no key of this principal".to_owned(),
            false => bare(text).to_owned(),
        };
        NoTicketReason { text, wrong_credentials: has_no_key || WRONG_CREDENTIALS.contains(&code) }
    }
}

/// Returns what the library says, without what it says of every error.
pub(crate) fn bare(text: &str) -> &str {
    PREFACES.iter().find_map(|preface| text.strip_prefix(preface)).unwrap_or(text)
}
