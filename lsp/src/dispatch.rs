//! Which function answers a request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gen_lsp_types as types;
use lsp_server::{ErrorCode, Request, RequestId, Response};

use crate::requests;
use crate::session::Session;

/// The reason why a request has no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Failure {
    /// Returns the failure of a request that can't be fulfilled, such as a rename to an impossible name.
    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure { code: ErrorCode::RequestFailed, message: message.into() }
    }

    pub(crate) fn response(self, id: RequestId) -> Response {
        Response::new_err(id, self.code as i32, self.message)
    }
}

/// The result of a request.
pub(crate) type Answer<T> = Result<T, Failure>;

/// Returns whether an answer is about places of a text, so that it is stale after a change of the text.
pub(crate) fn is_about_text(method: &str) -> bool {
    method.starts_with("textDocument/") || method.starts_with("callHierarchy/")
}

/// Answers a request. A failure within the server is an answer too, and does not end the connection.
pub(crate) fn answer(session: &mut Session<'_>, request: Request) -> Response {
    let (id, method) = (request.id.clone(), request.method.clone());
    let answered = catch_unwind(AssertUnwindSafe(|| Router::of(session, request).all()));
    answered.unwrap_or_else(|_| {
        let message = format!("{method} failed within the server");
        Failure { code: ErrorCode::InternalError, message }.response(id)
    })
}

/// A request on the way to the function that answers it.
struct Router<'r, 's> {
    session: &'r mut Session<'s>,
    request: Request,
    response: Option<Response>,
}

impl<'r, 's> Router<'r, 's> {
    fn of(session: &'r mut Session<'s>, request: Request) -> Router<'r, 's> {
        Router { session, request, response: None }
    }

    fn all(self) -> Response {
        self.about_a_place().about_a_document().about_the_workspace().finish()
    }

    fn about_a_place(self) -> Self {
        self.on::<types::HoverRequest>(requests::hover::hover)
            .on::<types::CompletionRequest>(requests::completion::completion)
            .on::<types::SignatureHelpRequest>(requests::signature_help::signature_help)
            .on::<types::DefinitionRequest>(requests::definition::definition)
            .on::<types::DeclarationRequest>(requests::references::declaration)
            .on::<types::TypeDefinitionRequest>(requests::references::type_definition)
            .on::<types::ReferencesRequest>(requests::references::references)
            .on::<types::DocumentHighlightRequest>(requests::references::highlights)
            .on::<types::PrepareRenameRequest>(requests::rename::prepare)
            .on::<types::RenameRequest>(requests::rename::rename)
            .on::<types::LinkedEditingRangeRequest>(requests::rename::linked)
            .on::<types::CallHierarchyPrepareRequest>(requests::call_hierarchy::prepare)
            .on::<types::CallHierarchyIncomingCallsRequest>(requests::call_hierarchy::incoming)
            .on::<types::CallHierarchyOutgoingCallsRequest>(requests::call_hierarchy::outgoing)
    }

    fn about_a_document(self) -> Self {
        self.on::<types::DocumentFormattingRequest>(requests::formatting::document)
            .on::<types::DocumentRangeFormattingRequest>(requests::formatting::range)
            .on::<types::DocumentRangesFormattingRequest>(requests::formatting::ranges)
            .on::<types::DocumentOnTypeFormattingRequest>(requests::formatting::on_type)
            .on::<types::DocumentDiagnosticRequest>(requests::diagnostics::of_document)
            .on::<types::DocumentSymbolRequest>(requests::symbols::of_document)
            .on::<types::CodeActionRequest>(requests::code_actions::code_actions)
            .on::<types::CodeLensRequest>(requests::code_lenses::lenses)
            .on::<types::InlayHintRequest>(requests::inlay_hints::hints)
            .on::<types::SemanticTokensRequest>(requests::semantic_tokens::full)
            .on::<types::SemanticTokensDeltaRequest>(requests::semantic_tokens::delta)
            .on::<types::SemanticTokensRangeRequest>(requests::semantic_tokens::range)
            .on::<types::FoldingRangeRequest>(requests::folding::folding)
            .on::<types::SelectionRangeRequest>(requests::folding::selection)
            .on::<types::DocumentLinkRequest>(requests::folding::links)
    }

    fn about_the_workspace(self) -> Self {
        self.on::<types::WorkspaceDiagnosticRequest>(requests::diagnostics::of_workspace)
            .on::<types::WorkspaceSymbolRequest>(requests::symbols::of_workspace)
            .on::<types::ExecuteCommandRequest>(requests::code_lenses::execute)
            .on::<types::TextDocumentContentRequest>(requests::library_content::content)
    }

    /// Answers the request if it is of this kind.
    fn on<R: types::Request>(
        mut self,
        function: impl FnOnce(&mut Session<'s>, R::Params) -> Answer<R::Result>,
    ) -> Self {
        if self.response.is_some() || self.request.method != R::METHOD.as_str() {
            return self;
        }
        let id = self.request.id.clone();
        let response = match serde_json::from_value::<R::Params>(std::mem::take(&mut self.request.params)) {
            Ok(params) => match function(self.session, params) {
                Ok(result) => Response::new_ok(id, serde_json::to_value(result).unwrap_or_default()),
                Err(failure) => failure.response(id),
            },
            Err(error) => {
                let message = format!("invalid parameters of {}: {error}", self.request.method);
                Failure { code: ErrorCode::InvalidParams, message }.response(id)
            }
        };
        self.response = Some(response);
        self
    }

    fn finish(self) -> Response {
        let Router { request, response, .. } = self;
        response.unwrap_or_else(|| {
            let message = format!("unknown request {}", request.method);
            Failure { code: ErrorCode::MethodNotFound, message }.response(request.id)
        })
    }
}
