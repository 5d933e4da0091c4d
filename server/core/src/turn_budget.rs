//! How much one turn of the loop does for what peers say. It is counted in units: one for each
//! control message and each preface, and more for each name in it, so that a turn takes some
//! milliseconds at most. What is left waits for the next turn, behind what others have said
//! meanwhile.

/// Units that a turn has for all connections.
const PER_TURN: u32 = 1024;

/// Units that a turn has for one connection, while there are enough for all.
const PER_CONNECTION: u32 = 256;

/// Units that a turn has for a connection even if others have used up the turn's.
const AT_LEAST: u32 = 8;

/// What is left of a turn.
#[derive(Debug)]
pub(crate) struct TurnBudget {
    turn: u32,
    left: u32,
}

/// What a connection has used up, and in which turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsedInTurn {
    turn: u32,
    units: u32,
}

impl TurnBudget {
    pub(crate) fn new() -> TurnBudget {
        TurnBudget { turn: 1, left: PER_TURN }
    }

    /// A turn begins, with nothing used up.
    pub(crate) fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.left = PER_TURN;
    }

    /// A connection has caused so much work.
    pub(crate) fn charge(&mut self, used: &mut UsedInTurn, units: u32) {
        if used.turn != self.turn {
            *used = UsedInTurn { turn: self.turn, units: 0 };
        }
        used.units = used.units.saturating_add(units);
        self.left = self.left.saturating_sub(units);
    }

    /// Whether the rest of what a connection says waits for the next turn.
    #[inline]
    pub(crate) fn is_used_up(&self, used: &UsedInTurn) -> bool {
        let most = if self.left == 0 { AT_LEAST } else { PER_CONNECTION };
        used.turn == self.turn && used.units >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until_used_up(budget: &mut TurnBudget, used: &mut UsedInTurn) -> u32 {
        let mut units = 0;
        while !budget.is_used_up(used) {
            budget.charge(used, 1);
            units += 1;
        }
        units
    }

    #[test]
    fn one_connection_takes_its_share_and_many_take_the_turn() {
        let mut budget = TurnBudget::new();
        let mut flood = [UsedInTurn::default(); 5];
        let units = flood.each_mut().map(|used| until_used_up(&mut budget, used));
        assert_eq!(
            units,
            [PER_CONNECTION, PER_CONNECTION, PER_CONNECTION, PER_CONNECTION, AT_LEAST]
        );
        assert_eq!(until_used_up(&mut budget, &mut UsedInTurn::default()), AT_LEAST);

        budget.begin_turn();
        assert_eq!(until_used_up(&mut budget, &mut flood[0]), PER_CONNECTION);
    }
}
