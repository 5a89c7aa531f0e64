//! Items.

use super::{NUMBERS, Program};

impl Program<'_, '_> {
    pub(super) fn item(&mut self) {
        match self.choices.below(16) {
            0 => self.component(),
            1 => {
                self.put("let a =");
                self.line_may_end();
                self.expression();
            }
            2 => {
                self.put("param");
                self.setting();
            }
            3 => {
                self.put("import");
                self.text();
                if self.choices.one_in(2) {
                    self.put("as");
                    self.name();
                }
            }
            4 => self.schema(),
            5 => {
                self.put("interceptor tidy");
                self.parameters();
                self.braces(4, Program::step);
            }
            6 => self.function(),
            7 => {
                self.put("quality sane");
                self.braces(3, |program| {
                    if program.choices.one_in(2) {
                        program.put("known :");
                        program.line_may_end();
                    }
                    program.expression();
                    if program.choices.one_in(2) {
                        program.because();
                    }
                });
            }
            8 | 9 => self.flow(),
            10 => self.test(),
            11 => {
                self.put("agent");
                self.settings();
            }
            12 => self.external(),
            13 => self.external_function(),
            14 => {
                self.put("enum Acks");
                self.braces(3, |program| {
                    program.name();
                    if program.choices.one_in(3) {
                        program.signature();
                    }
                });
            }
            _ => {
                self.put("record Roll");
                self.signature();
            }
        }
    }

    fn component(&mut self) {
        self.one_of(&["source", "channel", "sink"]);
        self.one_of(&["clicks", "in", "`in`", "`match`", "`plain`"]);
        self.put("=");
        self.line_may_end();
        self.one_of(&["kafka", "null", "`null`"]);
        self.settings();
    }

    fn schema(&mut self) {
        self.put("schema Click");
        self.braces(4, |program| {
            program.name();
            program.put(":");
            program.type_name();
            let first = program.choices.below(2) == 0;
            let sensitive = program.choices.below(2) == 0;
            if sensitive && first {
                program.put("sensitive");
            }
            match program.choices.below(3) {
                0 => {}
                1 => program.put("in ms"),
                _ => {
                    program.put("as");
                    program.text();
                }
            }
            if sensitive && !first {
                program.put("sensitive");
            }
        });
    }

    fn function(&mut self) {
        self.put("fn severity");
        self.parameters();
        self.put("->");
        self.type_name();
        self.put("{");
        self.line_may_end();
        for _ in 0..self.choices.below(3) {
            self.put("let b =");
            self.line_may_end();
            self.expression();
            self.pieces.push(crate::layout::Piece::Separator);
        }
        self.expression();
        self.pieces.push(crate::layout::Piece::LastSeparator);
        self.put("}");
    }

    fn flow(&mut self) {
        self.put("flow main");
        if self.choices.one_in(2) {
            self.put("delivers exactly_once");
            for _ in 0..self.choices.below(3) {
                self.put(",");
                self.line_may_end();
                self.put("ordered");
                match self.choices.below(4) {
                    0 => {}
                    1 => self.put("totally"),
                    2 => self.put("by @key"),
                    _ => {
                        self.put("by");
                        self.name();
                    }
                }
            }
        }
        self.braces(4, |program| program.chain(2));
    }

    fn test(&mut self) {
        self.put("test");
        self.text();
        self.braces(4, |program| match program.choices.below(8) {
            0 => program.put("crash"),
            1 => program.put("expect no loss"),
            2 => {
                program.put("advance");
                program.expression();
            }
            3 => {
                program.put("fail");
                program.place();
                program.put("3 times");
            }
            4 => {
                program.put("fail");
                program.place();
                program.put("disk_full");
            }
            choice => {
                program.put(if choice == 5 { "send" } else { "expect" });
                program.place();
                program.list();
            }
        });
    }

    fn external(&mut self) {
        if self.choices.one_in(3) {
            self.put("extern parser json : typed");
        } else {
            self.put("extern");
            self.one_of(&["source", "channel", "sink"]);
            self.put("kafka : replayable");
            if self.choices.one_in(3) {
                self.put("default");
            }
        }
        self.signature();
    }

    fn external_function(&mut self) {
        self.put("extern fn min");
        if self.choices.one_in(2) {
            self.put("< T : Ordered , U : Any >");
        }
        self.parameters();
        self.put("->");
        self.type_name();
        for _ in 0..self.choices.below(3) {
            match self.choices.below(3) {
                0 => self.put("varies"),
                1 => self.put("masks"),
                _ => {
                    self.put("fails");
                    self.because();
                }
            }
        }
    }

    fn parameters(&mut self) {
        self.brackets("(", ")", 4, |program| {
            program.name();
            program.put(":");
            match program.choices.below(4) {
                0 => program.put("field"),
                1 => {
                    program.put("field");
                    program.type_name();
                }
                _ => {
                    program.type_name();
                    for _ in 0..program.choices.below(3) {
                        program.put("|");
                        program.type_name();
                    }
                }
            }
            if program.choices.one_in(3) {
                program.put("=");
                program.expression();
            }
        });
    }

    fn signature(&mut self) {
        self.braces(4, |program| match program.choices.below(6) {
            0 => {
                program.one_of(&["emits", "needs"]);
                program.braces(3, |program| {
                    program.one_of(&["body", "@host"]);
                    program.put(":");
                    program.type_name();
                });
            }
            1 => {
                program.put("requires");
                program.expression();
                program.because();
            }
            _ => program.setting(),
        });
    }

    fn setting(&mut self) {
        self.name();
        self.put(":");
        self.type_name();
        let exclusive = self.choices.one_in(5);
        if exclusive {
            self.put("exclusive");
        }
        if self.choices.one_in(3) {
            self.put("in");
            self.one_of(&NUMBERS);
            match self.choices.below(3) {
                0 => self.put(".."),
                1 => self.put(".. 10"),
                _ => self.put("..= - 10"),
            }
        }
        if exclusive && self.choices.one_in(2) {
            self.put("unless");
            self.expression();
        }
        if self.choices.one_in(2) {
            self.put("=");
            self.line_may_end();
            self.expression();
        }
    }
}
