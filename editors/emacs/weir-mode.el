;;; weir-mode.el --- Edits Weir's data pipelines -*- lexical-binding: t -*-

;; Version: 0.1.0
;; Package-Requires: ((emacs "27.1"))
;; Keywords: languages

;; Licensed under the Apache License, Version 2.0.

;;; Commentary:

;; A major mode for .flow files: colours, comments and indentation, and the language server of Weir for eglot and
;; lsp-mode.  `M-x eglot' in a buffer of this mode connects the buffer with `weir lsp'.

;;; Code:

(defgroup weir nil
  "Weir's data pipelines."
  :group 'languages)

(defcustom weir-command "weir"
  "The program weir."
  :type 'string
  :group 'weir)

(defcustom weir-indent-offset 2
  "The number of blanks for each level of braces."
  :type 'integer
  :group 'weir)

(defvar weir-mode-syntax-table
  (let ((table (make-syntax-table)))
    (modify-syntax-entry ?/ ". 12" table)
    (modify-syntax-entry ?\n ">" table)
    (modify-syntax-entry ?\" "\"" table)
    (modify-syntax-entry ?\\ "\\" table)
    (modify-syntax-entry ?_ "w" table)
    (modify-syntax-entry ?@ "_" table)
    (modify-syntax-entry ?` "_" table)
    table)
  "The syntax of .flow files.")

(defconst weir-font-lock-keywords
  (let ((before-step "\\(?:^\\|->\\|[{,]\\|\\<optional\\)[ \t]*"))
    `(("^[ \t]*\\(source\\|channel\\|sink\\)[ \t]+\\(`?[a-z_][a-z0-9_]*`?\\)[ \t]*=[ \t]*\\([a-z_][a-z0-9_]*\\)"
       (1 font-lock-keyword-face) (2 font-lock-variable-name-face) (3 font-lock-type-face))
      (,(concat "^[ \t]*\\(import\\|param\\|let\\|schema\\|interceptor\\|fn\\|quality\\|flow\\|test\\|agent\\|extern\\|enum"
                "\\|record\\)\\>[ \t]*\\([A-Za-z_][A-Za-z0-9_]*\\)?")
       (1 font-lock-keyword-face) (2 font-lock-function-name-face nil t))
      (,(concat before-step "\\(set\\|unset\\|rename\\|select\\|parse\\|check\\|explode\\|flatten\\|throttle\\|sample\\|copy"
                "\\|balance\\|failover\\|dedupe\\|let\\)[ \t]+[@`({A-Za-z0-9\"]")
       1 font-lock-keyword-face)
      (,(concat before-step "\\(keep\\|drop\\|reject\\)[ \t]+\\(?:if\\|because\\)\\>") 1 font-lock-keyword-face)
      ("\\(?:->\\|\\<else\\)[ \t]*\\(drop\\|reject\\)\\>" 1 font-lock-keyword-face)
      ("^[ \t]*\\(send\\|expect\\|advance\\|fail\\|crash\\|for[ \t]+each\\)\\(?:[ \t]\\|$\\)" 1 font-lock-keyword-face)
      ("^[ \t]*expect[ \t]+\\(metric\\|order\\|no\\)\\>" 1 font-lock-keyword-face)
      ("^[ \t]*\\(?:send\\|expect\\)[ \t]+[^ \t]+[ \t]+\\(lines\\|writes\\)[ \t]" 1 font-lock-keyword-face)
      ("\\_<\\(of\\|with\\|from\\)\\_>[ \t]+[`\"A-Za-z_]" 1 font-lock-keyword-face)
      ("\\_<\\(if\\|then\\|else\\|match\\|and\\|or\\|not\\|in\\|is\\|matches\\|empty\\)\\_>\\(?:[ \t]*$\\|[ \t]+[^: =]\\|[,)}]\\)"
       1 font-lock-keyword-face)
      ("\\_<\\(delivers\\|as\\|by\\|because\\|strict\\|sensitive\\|optional\\|within\\|secret\\)\\_>\\(?:[ \t]*$\\|[ \t]+[^: =]\\|[},]\\)"
       1 font-lock-keyword-face)
      ("\\_<\\(true\\|false\\|null\\)\\_>" 1 font-lock-constant-face)
      ("@[A-Za-z_][A-Za-z0-9_]*" . font-lock-variable-name-face)
      ("\\_<[A-Z][A-Za-z0-9_]*" . font-lock-type-face)
      ("\\_<\\([a-z_][a-z0-9_]*\\)[ \t]*:" 1 font-lock-variable-name-face)
      ("\\_<[0-9][A-Za-z0-9_]*\\(?:\\.[0-9][A-Za-z0-9_]*\\)?\\(?:%\\|/[a-z]+\\)?" . font-lock-constant-face)
      ("{@?[A-Za-z_][A-Za-z0-9_.]*\\(?::[^}\"\n]*\\)?}" 0 font-lock-variable-name-face prepend)))
  "What is coloured in .flow files, and how.")

(defun weir-indent-line ()
  "Indents the line relative to the line of the innermost open bracket."
  (interactive)
  (let* ((open (save-excursion
                 (beginning-of-line)
                 (nth 1 (syntax-ppss))))
         (outer (if open
                    (save-excursion
                      (goto-char open)
                      (current-indentation))
                  0))
         (levels (save-excursion
                   (back-to-indentation)
                   (cond ((looking-at "[])}]") 0)
                         ((not open) 0)
                         ;; The arrows of a chain are one level behind its beginning.
                         ((looking-at "->") 2)
                         (t 1))))
         (column (+ outer (* weir-indent-offset levels))))
    (if (<= (current-column) (current-indentation))
        (indent-line-to column)
      (save-excursion (indent-line-to column)))))

;;;###autoload
(define-derived-mode weir-mode prog-mode "Weir"
  "Edits Weir's data pipelines."
  (setq-local comment-start "// ")
  (setq-local comment-start-skip "//+!?[ \t]*")
  (setq-local comment-end "")
  (setq-local indent-tabs-mode nil)
  (setq-local indent-line-function #'weir-indent-line)
  (setq-local font-lock-defaults '(weir-font-lock-keywords)))

;;;###autoload
(add-to-list 'auto-mode-alist '("\\.flow\\'" . weir-mode))

(defun weir-server (&rest _)
  "Returns the command of the language server."
  (list weir-command "lsp"))

(defvar eglot-server-programs)
(with-eval-after-load 'eglot
  (add-to-list 'eglot-server-programs '(weir-mode . weir-server)))

(declare-function lsp-register-client "ext:lsp-mode")
(declare-function make-lsp-client "ext:lsp-mode")
(declare-function lsp-stdio-connection "ext:lsp-mode")
(defvar lsp-language-id-configuration)
(with-eval-after-load 'lsp-mode
  (add-to-list 'lsp-language-id-configuration '(weir-mode . "weir"))
  (lsp-register-client
   (make-lsp-client :new-connection (lsp-stdio-connection #'weir-server)
                    :major-modes '(weir-mode)
                    :server-id 'weir)))

(provide 'weir-mode)

;;; weir-mode.el ends here
