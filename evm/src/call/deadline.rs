//! Stops a call that takes too long, from inside the interpreter.

use revm::{
    Inspector,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
    },
};
use std::time::Instant;

/// Instructions between two looks at the clock: some microseconds.
const STEPS: u32 = 1024;

/// An inspector that fails every frame once its time is over.
pub(crate) struct Deadline {
    at: Option<Instant>,
    steps: u32,
    pub(crate) expired: bool,
}

impl Deadline {
    /// `None`: a time so far away that the clock cannot tell it.
    pub(crate) const fn new(at: Option<Instant>) -> Self {
        Self { at, steps: 0, expired: false }
    }

    fn look(&mut self) {
        self.steps = 0;
        self.expired = self.expired || self.at.is_some_and(|at| Instant::now() >= at);
    }
}

impl<CTX> Inspector<CTX> for Deadline {
    fn step(&mut self, interpreter: &mut Interpreter, _context: &mut CTX) {
        self.steps += 1;
        if self.steps >= STEPS {
            self.look();
        }
        if self.expired {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }

    // A precompile may run for long without a single step.
    fn call(&mut self, _context: &mut CTX, _inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.look();
        None
    }

    fn create(&mut self, _context: &mut CTX, _inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.look();
        None
    }
}
