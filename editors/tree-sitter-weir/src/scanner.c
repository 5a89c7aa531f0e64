// Decides which newlines end an entry. Newlines are only asked for where the grammar allows an entry to end, so
// newlines in ( ) and [ ] and behind an operator never get here.

#include "tree_sitter/parser.h"

#include <string.h>

enum Token { NEWLINE };

enum { WORD_MAX = 16 };

static bool is_blank(int32_t character) { return character == ' ' || character == '\t' || character == '\r'; }

static bool is_letter(int32_t character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character == '_' ||
         (character >= '0' && character <= '9');
}

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

/// Advances over blanks, newlines and comments. Returns false at a `/` that begins no comment.
static bool advance_to_next_line(TSLexer *lexer) {
  while (!lexer->eof(lexer)) {
    if (is_blank(lexer->lookahead) || lexer->lookahead == '\n') {
      advance(lexer);
    } else if (lexer->lookahead == '/') {
      advance(lexer);
      if (lexer->lookahead != '/') return false;
      while (!lexer->eof(lexer) && lexer->lookahead != '\n') advance(lexer);
    } else {
      break;
    }
  }
  return true;
}

/// Returns whether the line at this place continues the entry before it: `->`, `else`, `and`, `or`, `because "…"`.
static bool continues(TSLexer *lexer) {
  if (lexer->lookahead == '-') {
    advance(lexer);
    return lexer->lookahead == '>';
  }
  char word[WORD_MAX + 1] = {0};
  unsigned length = 0;
  while (is_letter(lexer->lookahead)) {
    if (length == WORD_MAX) return false;
    word[length++] = (char)lexer->lookahead;
    advance(lexer);
  }
  if (strcmp(word, "else") == 0 || strcmp(word, "and") == 0 || strcmp(word, "or") == 0) return true;
  // A setting or a field may have the name `because`.
  if (strcmp(word, "because") != 0) return false;
  while (is_blank(lexer->lookahead)) advance(lexer);
  return lexer->lookahead == '"' || lexer->lookahead == 'r' || lexer->lookahead == '\n';
}

void *tree_sitter_weir_external_scanner_create(void) { return NULL; }
void tree_sitter_weir_external_scanner_destroy(void *payload) { (void)payload; }
void tree_sitter_weir_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}
unsigned tree_sitter_weir_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}

bool tree_sitter_weir_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid_symbols) {
  (void)payload;
  if (!valid_symbols[NEWLINE]) return false;
  while (is_blank(lexer->lookahead)) lexer->advance(lexer, true);
  if (lexer->lookahead != '\n') return false;
  advance(lexer);
  // The token is one newline; what follows is only looked at.
  lexer->mark_end(lexer);
  lexer->result_symbol = NEWLINE;
  return !advance_to_next_line(lexer) || !continues(lexer);
}
