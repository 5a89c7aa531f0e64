;;; test.el --- Waits for a diagnostic of the language server -*- lexical-binding: t -*-

;;; Code:

(package-initialize)
(require 'weir-mode)
(require 'eglot)
(require 'flymake)

(setq weir-command (getenv "WEIR"))

(defconst weir-test-seconds-max 60
  "How long an event may take on a slow machine.")

(defun weir-test-await (what condition)
  "Waits until CONDITION is true; WHAT says what it is."
  (let ((ends (+ (float-time) weir-test-seconds-max)) value)
    (while (not (setq value (funcall condition)))
      (when (> (float-time) ends)
        (error "Waited in vain for %s" what))
      (accept-process-output nil 0.05))
    value))

(find-file (getenv "PROGRAM"))
(unless (eq major-mode 'weir-mode)
  (error "The mode is %s" major-mode))
(apply #'eglot--connect (eglot--guess-contact))
(let ((found (weir-test-await "a diagnostic" #'flymake-diagnostics)))
  (princ (format "%s\n" (flymake-diagnostic-text (car found)))))
(eglot-shutdown (eglot-current-server))
(princ "1 passed, 0 failed\n")

;;; test.el ends here
