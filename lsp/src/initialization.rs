//! The beginning of a connection: what the client can do, its folders and its settings.

use gen_lsp_types::{
    ConfigurationItem, ConfigurationParams, ConfigurationRequest, DidChangeWatchedFilesNotification,
    DidChangeWatchedFilesRegistrationOptions, FileSystemWatcher, InitializeParams, InitializeResult,
    Notification, Registration, RegistrationParams, RegistrationRequest, ServerInfo, WorkspaceFolders,
};
use serde_json::Value;

use crate::capabilities::{Client, of_server};
use crate::settings::{SECTION, Settings};
use crate::uris;

/// The parts of the client's `initialize` request that the server uses.
pub(crate) struct Beginning {
    pub(crate) client: Client,
    pub(crate) roots: Vec<String>,
    pub(crate) settings: Settings,
}

impl Beginning {
    /// Reads the parameters of the first request. Parameters that can't be read are those of a client without any
    /// capability.
    pub(crate) fn read(params: Value) -> Beginning {
        let params: InitializeParams = serde_json::from_value(params).unwrap_or_default();
        let folders = params.workspace_folders_initialize_params.workspace_folders;
        #[allow(deprecated)] // Older clients have nothing else.
        let root = params.root_uri;
        let roots = match folders {
            Some(WorkspaceFolders::WorkspaceFolderList(folders)) => {
                folders.into_iter().map(|folder| folder.uri).collect()
            }
            _ => root.into_iter().collect::<Vec<_>>(),
        };
        let settings = params.initialization_options.as_ref().map(Settings::read);
        Beginning {
            client: Client::new(&params.capabilities),
            roots: roots.iter().map(|uri| uris::name(uri.as_ref())).collect(),
            settings: settings.unwrap_or_default(),
        }
    }

    /// Returns the answer to the first request.
    pub(crate) fn result(&self) -> Value {
        let server_info =
            ServerInfo { name: "weir".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) };
        let capabilities = of_server(&self.client);
        let result = InitializeResult { capabilities, server_info: Some(server_info) };
        serde_json::to_value(result).unwrap_or_default()
    }
}

/// Returns the requests that the server sends when the client is ready: the method and the parameters.
pub(crate) fn requests(client: &Client) -> Vec<(&'static str, Value)> {
    use gen_lsp_types::Request;
    let mut requests = Vec::new();
    if client.watches_files {
        let watcher = FileSystemWatcher { glob_pattern: "**/*.flow".to_owned().into(), kind: None };
        let options = DidChangeWatchedFilesRegistrationOptions { watchers: vec![watcher] };
        let method = DidChangeWatchedFilesNotification::METHOD.as_str();
        let registration = Registration {
            id: "files".to_owned(),
            method: method.to_owned(),
            register_options: serde_json::to_value(options).ok(),
        };
        let params = RegistrationParams { registrations: vec![registration] };
        requests
            .push((RegistrationRequest::METHOD.as_str(), serde_json::to_value(params).unwrap_or_default()));
    }
    if client.has_settings {
        requests.push((ConfigurationRequest::METHOD.as_str(), configuration()));
    }
    requests
}

/// Returns the parameters of the request for the settings.
pub(crate) fn configuration() -> Value {
    let item = ConfigurationItem { scope_uri: None, section: Some(SECTION.to_owned()) };
    serde_json::to_value(ConfigurationParams { items: vec![item] }).unwrap_or_default()
}
