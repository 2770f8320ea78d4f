//! A campaign: on whose behalf, for what, from which numbers and to where calls are made. A section of the configuration.

use super::call::{CallKind, Introduction, Purpose, SellerType, Voice};
use super::phone::Phone;
use super::route::Dialing;

/// What every call of a campaign has in common. Nothing of it can be chosen by a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Name of its section.
    pub campaign_id: String,
    /// Whether calls may be placed under it now.
    pub active: bool,
    /// Seller on whose behalf calls are made.
    pub seller: String,
    /// For profit or not.
    pub seller_type: SellerType,
    /// Why people are called.
    pub purpose: Purpose,
    /// What the calls are about; caps may count by it.
    pub subject: Option<String>,
    /// Sector tag as the rules name it.
    pub sector: Option<String>,
    /// ISO country in which the controller is established.
    pub controller_country: Option<String>,
    /// Kinds of call that the campaign makes.
    pub call_kinds: Vec<CallKind>,
    /// Numbers that may be shown; of several the one that a person is shown follows from their number.
    pub caller_ids: Vec<CallerId>,
    /// ISO countries that may be dialed. Nothing is allowed by default.
    pub destinations: Vec<String>,
    /// By which trunks its calls go, how fast, and with which share of a trunk.
    pub dialing: Dialing,
    /// Registrations and permits that the seller holds.
    pub registrations: Vec<Registration>,
    /// The calls treat special categories of data (GDPR Art. 9).
    pub special_category: bool,
    /// An automatic telephone dialing system in the sense of the TCPA places the calls.
    pub atds: bool,
    /// Offers something the customer could not have known (some national rules ask).
    pub new_product: bool,
    /// How its calls introduce themselves; absent = nobody said, and no rule is told.
    pub introduction: Option<Introduction>,
    /// What voice talks; for information.
    pub voice: Option<Voice>,
}

/// A number that may be shown to the person called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerId {
    /// The number.
    pub number: Phone,
    /// It is the seller's own.
    pub owned: bool,
    /// Calling it back reaches the seller.
    pub callable: bool,
    /// It stands in the public directory.
    pub in_directory: bool,
}

/// A permit or registration that the seller holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Id as the rules name it, such as `ca-dncl`.
    pub id: String,
    /// Number given by the authority.
    pub number: Option<String>,
    /// Last day on which it holds.
    pub valid_to: Option<jiff::civil::Date>,
}
