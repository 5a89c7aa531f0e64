//! Expressions.

use super::{DEPTH, HEADERS, NUMBERS, Program};

impl Program<'_, '_> {
    pub(super) fn expression(&mut self) {
        self.deep(DEPTH);
    }

    /// Writes an expression with at most `depth` nested levels.
    fn deep(&mut self, depth: usize) {
        if depth == 0 {
            return self.primary(0);
        }
        match self.choices.below(12) {
            0..3 => self.operand(depth),
            3 => self.logical(depth),
            4 => self.conditional(depth),
            5 => self.arithmetic(depth),
            6 => self.question(depth),
            7 => {
                self.put("not");
                self.question(depth);
            }
            8 => self.logical(depth),
            9 => {
                self.operand(depth);
                self.put("??");
                self.line_may_end();
                self.operand(depth);
            }
            10 => {
                self.operand(depth);
                self.put("..=");
                self.line_may_end();
                self.operand(depth);
            }
            _ => self.put("- - a"),
        }
    }

    /// Writes conditions that are joined with `and` and `or`.
    fn logical(&mut self, depth: usize) {
        self.question(depth);
        for _ in 0..=self.choices.below(4) {
            self.line_may_end();
            self.one_of(&["and", "or"]);
            self.line_may_end();
            if self.choices.one_in(4) {
                self.put("not");
            }
            self.question(depth);
        }
    }

    fn question(&mut self, depth: usize) {
        self.operand(depth);
        match self.choices.below(4) {
            0 => {}
            1 => {
                self.put("is");
                if self.choices.one_in(2) {
                    self.put("not");
                }
                self.one_of(&["null", "empty"]);
            }
            _ => {
                self.one_of(&["==", "!=", "<", "<=", ">", ">=", "in", "matches"]);
                self.line_may_end();
                self.operand(depth);
            }
        }
    }

    fn arithmetic(&mut self, depth: usize) {
        self.operand(depth);
        for _ in 0..=self.choices.below(5) {
            self.one_of(&["+", "-", "*", "/", "%"]);
            self.line_may_end();
            self.operand(depth);
        }
    }

    /// Writes a value with optional postfixes.
    fn operand(&mut self, depth: usize) {
        if self.choices.one_in(10) {
            self.put("-");
            return self.name();
        }
        self.primary(depth);
        match self.choices.below(8) {
            0 => {
                self.put(".");
                self.name();
            }
            1 => {
                self.put("[");
                self.deep(depth.saturating_sub(1));
                self.put("]");
            }
            _ => {}
        }
    }

    fn primary(&mut self, depth: usize) {
        let choice = self.choices.below(if depth == 0 { 6 } else { 15 });
        let inner = depth.saturating_sub(1);
        match choice {
            0 | 1 => self.name(),
            2 => self.one_of(&NUMBERS),
            3 => self.text(),
            4 => self.one_of(&HEADERS),
            5 => self.one_of(&["true", "false", "null"]),
            6 | 7 => self.brackets("[", "]", 4, |program| program.deep(inner)),
            8 => self.block(inner),
            9 => {
                self.name();
                self.block(inner);
            }
            10 => {
                self.name();
                self.arguments(inner);
            }
            11 => {
                self.put("secret env");
                self.arguments(inner);
            }
            12 => {
                self.put("(");
                self.deep(inner);
                self.put(")");
            }
            13 => {
                self.put("(");
                self.deep(inner);
                self.put("else");
                self.deep(inner);
                self.put(")");
            }
            _ => self.value_match(inner),
        }
    }

    fn block(&mut self, depth: usize) {
        self.braces(3, |program| {
            if program.choices.one_in(6) {
                program.one_of(&HEADERS)
            } else {
                program.name()
            }
            program.put(":");
            program.line_may_end();
            program.deep(depth);
        });
    }

    pub(super) fn settings(&mut self) {
        self.block(DEPTH);
    }

    pub(super) fn list(&mut self) {
        self.brackets("[", "]", 3, |program| program.deep(DEPTH - 1));
    }

    pub(super) fn arguments(&mut self, depth: usize) {
        self.brackets("(", ")", 3, |program| {
            if program.choices.one_in(3) {
                program.name();
                program.put(":");
            }
            program.deep(depth);
        });
    }

    fn conditional(&mut self, depth: usize) {
        let inner = depth.saturating_sub(1);
        self.put("if");
        self.question(inner);
        self.put("then");
        self.line_may_end();
        self.question(inner);
        for _ in 0..self.choices.below(3) {
            self.line_may_end();
            self.put("else");
            self.line_may_end();
            self.put("if");
            self.question(inner);
            self.put("then");
            self.line_may_end();
            self.arithmetic(inner);
        }
        self.line_may_end();
        self.put("else");
        self.line_may_end();
        self.logical(inner);
    }

    fn value_match(&mut self, depth: usize) {
        self.put("match");
        match self.choices.below(4) {
            0 => {}
            1 => self.one_of(&HEADERS),
            2 => self.name(),
            _ => self.put("lower ( user ) [ 0 ]"),
        }
        self.braces(3, |program| {
            program.deep(depth);
            for _ in 0..program.choices.below(3) {
                program.put("|");
                program.primary(0);
            }
            program.put("=>");
            program.line_may_end();
            program.deep(depth);
        });
    }

    /// Writes the key of a `balance`.
    pub(super) fn subject(&mut self) {
        match self.choices.below(3) {
            0 => self.one_of(&HEADERS),
            1 => self.name(),
            _ => self.put("( a + b ) . c"),
        }
    }
}
