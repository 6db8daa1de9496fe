//! Why something about a person is held, and for how long: what the annotations of the schema refer to.
//!
//! Invariant: each is a promise to people, so one changes only when what is done with the data does.

use super::inventory::Purpose;

pub const ACCOUNT: Purpose = Purpose {
    what: "Name, address and state of the account",
    why: "To sign in, to be written to, and to be known to those one works with",
    kept: "As long as the account",
};
pub const PROOF: Purpose = Purpose {
    what: "Digests and sealed secrets that prove who somebody is",
    why: "To sign in without the secret itself being kept",
    kept: "As long as the account, or until they are taken back",
};
pub const ACCESS: Purpose = Purpose {
    what: "What somebody may do where, since when and by whom",
    why: "To allow what was granted and nothing else, and to review it",
    kept: "Until the role is taken back",
};
pub const SIGN_IN: Purpose = Purpose {
    what: "From where and with what somebody signed in, and when",
    why: "So that one sees and ends sessions that are not one's own",
    kept: "As long as the account",
};
pub const TOKEN: Purpose = Purpose {
    what: "Name, limits, age and last use of a personal token",
    why: "So that its owner knows what it is for and whether it is still used",
    kept: "Until it is deleted",
};
pub const AUTHOR: Purpose = Purpose {
    what: "Who made or changed something",
    why: "So that those who work together know whom to ask",
    kept: "As long as the thing itself",
};
pub const START: Purpose = Purpose {
    what: "From where a run was started",
    why: "For the audit entries of its agents, which act after the request has ended",
    kept: "As long as the run",
};
pub const USE: Purpose = Purpose {
    what: "What was used, when and for whom",
    why: "To hold quotas and to account for them",
    kept: "As long as the site",
};
pub const TRAIL: Purpose = Purpose {
    what: "Who did what, when and from where, with the state before and after",
    why: "To prove what happened (legitimate interest, legal duty); sealed with a key of the person's own",
    kept: "As the organisation's retention says",
};
pub const NOTICE: Purpose = Purpose {
    what: "What the site told somebody; it may name others",
    why: "So that people learn what concerns them",
    kept: "The newest 200 of each person",
};
pub const OPINION: Purpose = Purpose {
    what: "What somebody thinks of a plugin",
    why: "So that others choose well",
    kept: "Until it is taken back",
};
pub const MAIL: Purpose = Purpose {
    what: "Which mails the site sent somebody, and whether they arrived at its mail server",
    why: "To send them, and to see why one did not arrive",
    kept: "30 days after they were sent or given up",
};
pub const INVITED: Purpose = Purpose {
    what: "Whom somebody invited where, and whether they came",
    why: "So that people come in without an account being made for them",
    kept: "The newest 20,000 of an organisation",
};
pub const ERASURE: Purpose = Purpose {
    what: "The number of somebody who was erased",
    why: "To erase them again when a backup brings them back",
    kept: "As long as the site",
};
pub const CONTACT: Purpose = Purpose {
    what: "Whom to write to about an organisation",
    why: "Contract and support",
    kept: "Until it is changed",
};
