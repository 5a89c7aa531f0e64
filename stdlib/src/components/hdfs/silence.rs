//! Why a NameNode does not answer, found out by a connection of its own: the client tries again in silence while a NameNode refuses
//! connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use weir_runtime::Cause;

/// The timeout of a connection that only looks for the cause.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of the whole search.
pub(super) const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The beginning of a connection to a NameNode by version 9 of Hadoop's protocol, of a client without tickets.
const PLAIN_GREETING: &[u8] = b"hrpc\x09\x00\x00";

/// Finds out why a NameNode does not answer. A name service, which has no port, can't be asked.
pub(super) async fn cause_of_silence(url: &str, is_without_tickets: bool) -> (Cause, String) {
    let silent = || (Cause::TimedOut, "does not answer".to_owned());
    timeout(SEARCH_TIMEOUT, search(url, is_without_tickets)).await.unwrap_or_else(|_elapsed| silent())
}

async fn search(url: &str, is_without_tickets: bool) -> (Cause, String) {
    let silent = || (Cause::TimedOut, "does not answer".to_owned());
    let address = url.split_once("://").map(|(_, address)| address);
    let Some(address) = address.filter(|address| address.contains(':')) else {
        return silent();
    };
    let addresses = match lookup_host(address).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => return (Cause::NoSuchHost, format!("can't be found: {error}")),
    };
    match timeout(PROBE_TIMEOUT, TcpStream::connect(&*addresses)).await {
        Ok(Err(error)) => {
            let cause = Cause::of_system_error(&error).unwrap_or(Cause::Unreachable);
            (cause, format!("can't be reached: {error}"))
        }
        Ok(Ok(stream)) => match is_without_tickets && wants_tickets(stream).await {
            true => (Cause::NotAuthorised, "wants Kerberos tickets: `security: kerberos { … }`".to_owned()),
            false => (Cause::TimedOut, "accepts connections and does not answer".to_owned()),
        },
        Err(_elapsed) => (Cause::TimedOut, "can't be reached: no answer".to_owned()),
    }
}

/// Whether a NameNode refuses clients without tickets. The client does not tell: it takes the refusal for a lost connection.
async fn wants_tickets(mut stream: TcpStream) -> bool {
    let mut answer = [0; 512];
    let asked = timeout(PROBE_TIMEOUT, async {
        stream.write_all(PLAIN_GREETING).await?;
        stream.read(&mut answer).await
    });
    let Ok(Ok(length)) = asked.await else { return false };
    memchr::memmem::find(&answer[..length], b"AccessControlException").is_some()
}
