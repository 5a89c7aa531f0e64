//! Chains and steps.

use super::{HEADERS, Program};

const PLACES: [&str; 10] =
    ["clicks", "buffer", "in", "`in`", "`match`", "shared . x", "rejects", "sample", "`throttle`", "`copy`"];

impl Program<'_, '_> {
    pub(super) fn place(&mut self) {
        let place = self.choices.of(&PLACES).to_owned();
        self.put(&place);
    }

    pub(super) fn chain(&mut self, depth: usize) {
        self.stage(depth);
        for _ in 0..self.choices.below(4) {
            self.arrow();
            self.stage(depth);
        }
    }

    fn arrow(&mut self) {
        self.line_may_end();
        self.put("->");
        self.line_may_end();
    }

    fn stage(&mut self, depth: usize) {
        match self.choices.below(if depth == 0 { 4 } else { 8 }) {
            0 | 1 => self.place(),
            2 | 3 => self.step(),
            4 => {
                self.put("copy");
                self.braces(3, |program| {
                    if program.choices.one_in(3) {
                        program.put("optional");
                        program.place();
                    } else {
                        program.chain(depth - 1);
                    }
                });
            }
            5 => {
                self.put("match");
                self.braces(3, |program| {
                    program.expression();
                    program.arrow();
                    program.chain(depth - 1);
                });
            }
            6 => {
                self.put("balance");
                if self.choices.one_in(2) {
                    self.put("by");
                    self.subject();
                }
                self.braces(3, |program| program.chain(depth - 1));
            }
            _ => {
                self.put("failover");
                self.braces(3, |program| program.chain(depth - 1));
            }
        }
    }

    fn target(&mut self) {
        if self.choices.one_in(3) { self.one_of(&HEADERS) } else { self.name() }
    }

    fn handler(&mut self) {
        if self.choices.one_in(3) {
            self.line_may_end();
            self.put("else");
            self.line_may_end();
            match self.choices.below(4) {
                0 => self.put("reject"),
                1 => self.put("drop"),
                2 => self.one_of(&["`drop`", "`reject`"]),
                _ => self.expression(),
            }
        }
    }

    pub(super) fn step(&mut self) {
        match self.choices.below(14) {
            0 => {
                self.one_of(&["keep if", "drop if"]);
                self.expression();
                self.handler();
            }
            1 => {
                self.put("set");
                self.target();
                self.put("=");
                self.line_may_end();
                self.expression();
                self.handler();
            }
            2 => {
                self.put("unset");
                self.target();
            }
            3 => {
                self.put("rename");
                self.target();
                self.put("to");
                self.target();
            }
            4 => {
                self.put("select");
                self.braces(3, Program::target);
            }
            5 => self.parse(),
            7 => {
                self.put("reject if");
                self.expression();
                if self.choices.one_in(2) {
                    self.because();
                }
                self.handler();
            }
            8 => self.put("check sane"),
            6 => {
                self.one_of(&["explode", "flatten"]);
                self.target();
            }
            9 => {
                self.put("let slow =");
                self.line_may_end();
                self.expression();
                self.handler();
            }
            10 => {
                self.one_of(&["throttle", "sample"]);
                self.expression();
            }
            11 => {
                self.put("dedupe by");
                self.expression();
                self.put("within");
                self.expression();
            }
            12 => {
                self.one_of(&["`throttle`", "`sample`"]);
                self.arguments(2);
            }
            _ => {
                self.put("shared . tidy");
                self.arguments(2);
            }
        }
    }

    fn parse(&mut self) {
        self.put("parse");
        self.one_of(&["json", "csv", "regex"]);
        match self.choices.below(3) {
            0 => {}
            1 => self.text(),
            _ => self.arguments(1),
        }
        if self.choices.one_in(2) {
            self.put("as shared . Click");
        }
        if self.choices.one_in(3) {
            self.put("strict");
        }
        self.handler();
    }
}
