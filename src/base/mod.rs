//! What every floor may use and that knows nothing of the product: errors, time, pages, addresses, names, tables,
//! crypto, signed notes, signed files, tasks, logs.

pub mod clock;
pub mod crypto;
pub mod csv;
pub mod disk;
pub mod email;
pub mod error;
pub mod executable;
pub mod minisign;
pub mod names;
pub mod note;
pub mod page;
pub mod severity;
pub mod tasks;
pub mod telemetry;
pub mod zone;
