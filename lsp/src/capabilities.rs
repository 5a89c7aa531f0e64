//! The capabilities of the client and of the server.

use gen_lsp_types::{
    ClientCapabilities, CodeActionKind, CodeActionOptions, CodeLensOptions, CompletionClientCapabilities,
    CompletionOptions, DiagnosticOptions, DocumentLinkOptions, DocumentOnTypeFormattingOptions,
    ExecuteCommandOptions, RenameOptions, Save, SaveOptions, SemanticTokensFullDelta, SemanticTokensOptions,
    ServerCapabilities, SignatureHelpOptions, TextDocumentClientCapabilities, TextDocumentContentOptions,
    TextDocumentSyncKind, TextDocumentSyncOptions, WindowClientCapabilities, WorkspaceClientCapabilities,
    WorkspaceFoldersServerCapabilities, WorkspaceOptions,
};

use crate::library_documents::SCHEME;
use crate::positions::Encoding;
use crate::requests::code_actions::FIX_ALL;
use crate::requests::code_lenses::{RUN_TEST, RUN_TESTS, SHOW_GRAPH, SHOW_PLAN};
use crate::requests::semantic_tokens::legend;

/// The capabilities of the client that change the server's answers.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) encoding: Encoding,
    /// Whether the client asks for diagnostics, so that none are pushed.
    pub(crate) pulls_diagnostics: bool,
    /// Whether the client asks again for diagnostics when it is told to.
    pub(crate) refreshes_diagnostics: bool,
    /// Whether diagnostics may have further places.
    pub(crate) relates_diagnostics: bool,
    /// Whether diagnostics may be tagged, such as unused names.
    pub(crate) tags_diagnostics: bool,
    /// Whether diagnostics may have a link to the page of their code.
    pub(crate) describes_codes: bool,
    /// Whether the client shows progress that the server begins.
    pub(crate) shows_progress: bool,
    /// Whether the client tells of changed files when the server asks for it.
    pub(crate) watches_files: bool,
    /// Whether the server can ask for settings.
    pub(crate) has_settings: bool,
    /// Whether the client asks for the content of documents of other schemes.
    pub(crate) asks_for_content: bool,
    /// Whether completions may have places to fill in.
    pub(crate) has_snippets: bool,
    /// Whether answers to definition requests may say what they belong to.
    pub(crate) links_definitions: bool,
    /// Whether edits may name the version of each document.
    pub(crate) versions_edits: bool,
    pub(crate) refreshes_tokens: bool,
    pub(crate) refreshes_hints: bool,
    pub(crate) refreshes_lenses: bool,
}

impl Client {
    pub(crate) fn new(capabilities: &ClientCapabilities) -> Client {
        let empty_text = TextDocumentClientCapabilities::default();
        let empty_workspace = WorkspaceClientCapabilities::default();
        let text = capabilities.text_document.as_ref().unwrap_or(&empty_text);
        let workspace = capabilities.workspace.as_ref().unwrap_or(&empty_workspace);
        let window: Option<&WindowClientCapabilities> = capabilities.window.as_ref();
        let general = capabilities.general.as_ref();
        let pushed = text.publish_diagnostics.as_ref().map(|published| &published.diagnostics_capabilities);
        let pulled = text.diagnostic.as_ref().map(|pulled| &pulled.diagnostics_capabilities);
        let either = pulled.or(pushed);
        let completion: Option<&CompletionClientCapabilities> = text.completion.as_ref();
        let items = completion.and_then(|completion| completion.completion_item.as_ref());
        Client {
            encoding: Encoding::negotiated(general.and_then(|general| general.position_encodings.as_deref())),
            pulls_diagnostics: text.diagnostic.is_some(),
            refreshes_diagnostics: is(workspace.diagnostics.as_ref().and_then(|it| it.refresh_support)),
            relates_diagnostics: is(either.and_then(|diagnostics| diagnostics.related_information)),
            tags_diagnostics: either.is_some_and(|diagnostics| diagnostics.tag_support.is_some()),
            describes_codes: is(either.and_then(|diagnostics| diagnostics.code_description_support)),
            shows_progress: is(window.and_then(|window| window.work_done_progress)),
            watches_files: is(workspace
                .did_change_watched_files
                .as_ref()
                .and_then(|watched| watched.dynamic_registration)),
            has_settings: is(workspace.configuration),
            asks_for_content: workspace.text_document_content.is_some(),
            has_snippets: is(items.and_then(|items| items.snippet_support)),
            links_definitions: is(text.definition.as_ref().and_then(|definition| definition.link_support)),
            versions_edits: is(workspace.workspace_edit.as_ref().and_then(|edit| edit.document_changes)),
            refreshes_tokens: is(workspace.semantic_tokens.as_ref().and_then(|it| it.refresh_support)),
            refreshes_hints: is(workspace.inlay_hint.as_ref().and_then(|it| it.refresh_support)),
            refreshes_lenses: is(workspace.code_lens.as_ref().and_then(|it| it.refresh_support)),
        }
    }
}

fn is(capability: Option<bool>) -> bool {
    capability == Some(true)
}

/// Returns what the server can do for this client.
pub(crate) fn of_server(client: &Client) -> ServerCapabilities {
    let synchronization = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::Incremental),
        save: Some(Save::SaveOptions(SaveOptions { include_text: Some(false) })),
        ..TextDocumentSyncOptions::default()
    };
    let folders =
        WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(true.into()) };
    let content = TextDocumentContentOptions { schemes: vec![SCHEME.to_owned()] };
    let workspace = WorkspaceOptions {
        workspace_folders: Some(folders),
        text_document_content: client.asks_for_content.then(|| content.into()),
        ..WorkspaceOptions::default()
    };
    let diagnostics = DiagnosticOptions {
        identifier: Some("weir".to_owned()),
        inter_file_dependencies: true,
        workspace_diagnostics: true,
        ..DiagnosticOptions::default()
    };
    let languages = language_features();
    ServerCapabilities {
        position_encoding: Some(client.encoding.kind()),
        text_document_sync: Some(synchronization.into()),
        diagnostic_provider: client.pulls_diagnostics.then(|| diagnostics.into()),
        workspace: Some(workspace),
        ..languages
    }
}

/// Returns the requests about texts that the server answers for every client.
fn language_features() -> ServerCapabilities {
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    ServerCapabilities {
        hover_provider: Some(true.into()),
        completion_provider: Some(CompletionOptions {
            trigger_characters: texts(&["@", ".", "{", ":", ">", "\"", "/", " "]),
            ..CompletionOptions::default()
        }),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: texts(&["(", ","]),
            retrigger_characters: texts(&[":"]),
            ..SignatureHelpOptions::default()
        }),
        definition_provider: Some(true.into()),
        declaration_provider: Some(true.into()),
        type_definition_provider: Some(true.into()),
        references_provider: Some(true.into()),
        document_highlight_provider: Some(true.into()),
        document_symbol_provider: Some(true.into()),
        workspace_symbol_provider: Some(true.into()),
        rename_provider: Some(
            RenameOptions { prepare_provider: Some(true), ..RenameOptions::default() }.into(),
        ),
        linked_editing_range_provider: Some(true.into()),
        call_hierarchy_provider: Some(true.into()),
        code_action_provider: Some(code_actions().into()),
        code_lens_provider: Some(CodeLensOptions::default()),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: [SHOW_GRAPH, SHOW_PLAN, RUN_TEST, RUN_TESTS].map(str::to_owned).to_vec(),
            ..ExecuteCommandOptions::default()
        }),
        inlay_hint_provider: Some(true.into()),
        semantic_tokens_provider: Some(
            SemanticTokensOptions {
                legend: legend(),
                range: Some(true.into()),
                full: Some(SemanticTokensFullDelta { delta: Some(true) }.into()),
                ..SemanticTokensOptions::default()
            }
            .into(),
        ),
        document_formatting_provider: Some(true.into()),
        document_range_formatting_provider: Some(true.into()),
        document_on_type_formatting_provider: Some(DocumentOnTypeFormattingOptions {
            first_trigger_character: "}".to_owned(),
            more_trigger_character: None,
        }),
        folding_range_provider: Some(true.into()),
        selection_range_provider: Some(true.into()),
        document_link_provider: Some(DocumentLinkOptions::default()),
        ..ServerCapabilities::default()
    }
}

fn code_actions() -> CodeActionOptions {
    let fix_all = serde_json::from_value(FIX_ALL.into()).unwrap_or(CodeActionKind::SourceFixAll);
    let kinds = vec![
        CodeActionKind::QuickFix,
        CodeActionKind::RefactorExtract,
        CodeActionKind::RefactorInline,
        fix_all,
    ];
    CodeActionOptions { code_action_kinds: Some(kinds), ..CodeActionOptions::default() }
}
