//! The way from the payment page to a bank's app, as a shopper clicks it: "choose my bank" on the
//! acquirer's page, a bank on the platform's page, and on the page behind it the app link with a code in its
//! fragment.

use anyhow::{Context as _, Result, ensure};
use http::Uri;

use super::Browser;

/// What stands before the code in an app link's fragment.
const CODE_KEY: &str = "c=";

/// A bank picker that a shopper was led to.
#[derive(Clone, Debug)]
pub struct Picker {
    /// Its address, which names the checkout.
    pub address: String,
}

/// A bank on a picker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The bank's id.
    pub bank: String,
    /// What the button says, both languages and, where it can't be clicked, why.
    pub text: String,
    /// Whether it can be clicked.
    pub enabled: bool,
}

/// What a click on a bank led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Into the bank's app.
    App(AppLink),
    /// Back to the picker, with this HTTP status.
    Refused(u16),
}

/// The link that opens a bank's app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppLink {
    /// Without its fragment, which no server sees.
    pub address: String,
    /// The single-use code.
    pub code: String,
}

impl Picker {
    /// Opens a payment page and clicks on its link to the banks.
    ///
    /// # Errors
    /// The page offers no banks, or the click leads nowhere.
    pub async fn by_payment_page(browser: &Browser, payment_url: &str) -> Result<Self> {
        let page = browser.fetch(payment_url).await?;
        ensure!(page.status == 200, "the payment page answered {}", page.status);
        let form = form(&page.text).context("the payment page does not offer to choose a bank")?;
        let answer = browser.submit(&beside(payment_url, form.action)?, None).await?;
        let address = answer.leads_to().with_context(|| format!("the click was answered with {}", answer.status))?;
        Ok(Self { address: address.to_owned() })
    }

    /// The checkout's id, as the gRPC calls name it.
    ///
    /// # Errors
    /// The address has none.
    pub fn checkout_id(&self) -> Result<&str> {
        self.address.rsplit('/').next().filter(|id| !id.is_empty()).context("the picker's address names no checkout")
    }

    /// Opens the picker.
    ///
    /// # Errors
    /// The page can't be read.
    pub async fn choices(&self, browser: &Browser) -> Result<Vec<Choice>> {
        let page = browser.fetch(&self.address).await?;
        ensure!(page.status == 200, "the bank picker answered {}", page.status);
        Ok(form(&page.text).context("the bank picker shows no bank")?.choices())
    }

    /// Clicks on a bank, whether or not its button is enabled.
    ///
    /// # Errors
    /// The page can't be read, or leads to something that is no app link.
    pub async fn pick(&self, browser: &Browser, bank: &str) -> Result<Picked> {
        let page = browser.fetch(&self.address).await?;
        let form = form(&page.text).context("the bank picker shows no bank")?;
        let answer = browser.submit(&beside(&self.address, form.action)?, Some(("bank", bank))).await?;
        let Some(path) = answer.leads_to() else { return Ok(Picked::Refused(answer.status)) };
        let page = browser.fetch(&beside(&self.address, path)?).await?;
        ensure!(page.status == 200, "the page that opens the app answered {}", page.status);
        let link = app_link(&page.text).context("the page behind the bank opens no app")?;
        Ok(Picked::App(AppLink::parse(&link)?))
    }
}

impl AppLink {
    /// Reads an app link.
    ///
    /// # Errors
    /// It carries no code.
    pub fn parse(link: &str) -> Result<Self> {
        let (address, fragment) = link.split_once('#').context("the app link has no fragment")?;
        let code = fragment.strip_prefix(CODE_KEY).filter(|code| !code.is_empty());
        Ok(Self { address: address.to_owned(), code: code.context("the app link carries no code")?.to_owned() })
    }
}

/// A form of a page.
struct Form<'p> {
    action: &'p str,
    inside: &'p str,
}

impl Form<'_> {
    fn choices(&self) -> Vec<Choice> {
        let buttons = self.inside.split("<button").skip(1).filter_map(|rest| {
            let (tag, rest) = rest.split_once('>')?;
            let bank = attribute(tag, "value")?.to_owned();
            let text = plain(rest.split("</button").next().unwrap_or_default());
            Some(Choice { bank, text, enabled: !tag.split_whitespace().any(|word| word == "disabled") })
        });
        buttons.collect()
    }
}

/// The first form of a page that is posted.
fn form(html: &str) -> Option<Form<'_>> {
    let forms = html.split("<form").skip(1).filter_map(|rest| {
        let (tag, rest) = rest.split_once('>')?;
        let inside = rest.split("</form").next().unwrap_or_default();
        (attribute(tag, "method")? == "post").then_some(Form { action: attribute(tag, "action")?, inside })
    });
    forms.into_iter().next()
}

/// The link that opens the app, of the page behind a bank.
fn app_link(html: &str) -> Option<String> {
    let tags = html.split("<a").skip(1).filter_map(|rest| rest.split('>').next());
    let mut links = tags.filter(|tag| attribute(tag, "class").is_some_and(|class| class.contains("open-app")));
    Some(attribute(links.next()?, "href")?.replace("&amp;", "&").replace("&#38;", "&"))
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// The text between tags, with single spaces.
fn plain(html: &str) -> String {
    let texts = html.split('<').enumerate().map(|(place, part)| match part.split_once('>') {
        Some((_, text)) if place > 0 => text,
        Some(_) | None => part,
    });
    let words: Vec<&str> = texts.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

/// A path on the same server as a page.
fn beside(page: &str, path: &str) -> Result<String> {
    let uri: Uri = page.parse().context("the page's address")?;
    let authority = uri.authority().context("the page has no host")?;
    ensure!(path.starts_with('/'), "the page leads to {path}, which is no path of its own server");
    Ok(format!("https://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PAGE: &str = r#"<h1>Banks</h1><form class="x" method="post" action="/c/chk_1/bank"><ul>
        <li><button name="bank" value="bank-a"><span>甲 <span lang="en">A &amp; Co</span></span></button></li>
        <li><button name="bank" value="bank-b" disabled>B<span class="reason">paused</span></button></li></ul></form>"#;

    #[test]
    fn buttons_are_read_with_what_they_say() {
        let form = form(PAGE).unwrap();
        assert_eq!(form.action, "/c/chk_1/bank");
        let choices = form.choices();
        assert_eq!(choices[0], Choice { bank: "bank-a".to_owned(), text: "甲 A &amp; Co".to_owned(), enabled: true });
        let page = r#"<a href="/c/chk_1">x</a> <a class="button open-app" rel="noreferrer" href="https://a.example/#c=K">y</a>"#;
        assert_eq!(app_link(page).as_deref(), Some("https://a.example/#c=K"));
        assert_eq!(app_link(PAGE), None);
        assert_eq!((choices[1].text.as_str(), choices[1].enabled, choices.len()), ("B paused", false, 2));
        assert!(super::form("<form method=\"get\" action=\"/\"></form>").is_none());
    }

    #[test]
    fn a_form_stays_on_its_own_server() {
        assert_eq!(beside("https://localhost:1/c/2", "/c/2/bank").unwrap(), "https://localhost:1/c/2/bank");
        assert!(beside("https://localhost:1/c/2", "https://elsewhere.example/").is_err());
    }

    #[test]
    fn an_app_link_carries_a_code_in_its_fragment() {
        let link = AppLink::parse("https://app.bank.example/pay#c=ABC").unwrap();
        assert_eq!((link.address.as_str(), link.code.as_str()), ("https://app.bank.example/pay", "ABC"));
        for wrong in ["https://app.bank.example/pay?c=ABC", "https://app.bank.example/#c=", "https://x.example/#o=A"] {
            assert!(AppLink::parse(wrong).is_err(), "{wrong}");
        }
    }
}
