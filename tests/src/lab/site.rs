//! The site that demo and kernel scenarios share: a client, two directors, two web servers behind them by NAT.

use std::net::IpAddr;
use std::time::Duration;

use super::config_text::{VrrpInstance, global, http_service};
use super::lan::front4;
use super::web::WebServer;
use super::{Director, Failure, Host, Lab, Lan, Subject, ipvs, wait_until};

/// A site whose web servers run; its directors are started by the scenario.
pub struct Site {
    // Declared first: servers and their processes go before the network.
    /// nginx on web1 and web2; taken out to kill one.
    pub servers: Vec<Option<WebServer>>,
    /// Its hosts: `client`, `d1`, `d2`, `web1`, `web2`.
    pub lan: Lan,
}

impl Site {
    /// Builds the network and starts the web servers.
    pub fn new(lab: &Lab) -> Result<Self, Failure> {
        let mut lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
        lan.add_back_network(&[("d1", 1), ("d2", 2), ("web1", 11), ("web2", 12)])?;
        let mut servers = Vec::new();
        for name in WEB {
            let host = lan.host(name)?;
            // The gateway is an address that the Master holds.
            host.ip("route add default via 10.78.0.254 dev eth1\n")?;
            servers.push(Some(WebServer::start(lab, host)?));
        }
        Ok(Self { servers, lan })
    }

    /// Configuration of a director: the service's address, the web servers' gateway, and the service.
    #[must_use]
    pub fn config(router: &str, priority: u8, advert_int: &'static str) -> String {
        let mut instance = VrrpInstance::new(3, advert_int, priority, VIP);
        instance.addresses.push("10.78.0.254/24 dev eth1".to_owned());
        global(router) + &instance.text() + &http_service("10.77.0.50", &["10.78.0.11", "10.78.0.12"])
    }

    /// Starts a director.
    pub fn start(
        &self,
        lab: &Lab,
        name: &str,
        subject: Subject,
        priority: u8,
        advert_int: &'static str,
        options: &[&str],
    ) -> Result<Director, Failure> {
        Director::start(
            lab,
            self.lan.host(name)?,
            subject,
            &Self::config(name, priority, advert_int),
            options,
        )
    }

    /// The client.
    pub fn client(&self) -> Result<&Host, Failure> {
        self.lan.host("client")
    }

    /// Waits until a director's table holds exactly these web servers.
    pub fn wait_table(
        &self,
        director: &str,
        servers: &[&str],
        within: Duration,
    ) -> Result<Duration, Failure> {
        let host = self.lan.host(director)?;
        let mut seen = Vec::new();
        wait_until(&format!("{director} sends to {servers:?}"), within, || {
            seen = ipvs::destinations(host);
            seen == servers
        })
        .map_err(|failure| Failure::new(format!("{failure}; last seen {seen:?}")))
    }

    /// Kills the web server of this number.
    pub fn kill_server(&mut self, number: usize) {
        if let Some(server) = self.servers.get_mut(number).and_then(Option::take) {
            server.kill();
        }
    }

    /// Starts it again.
    pub fn start_server(&mut self, lab: &Lab, number: usize) -> Result<(), Failure> {
        let name = WEB.get(number).ok_or_else(|| Failure::new("no such server"))?;
        let server = WebServer::start(lab, self.lan.host(name)?)?;
        if let Some(slot) = self.servers.get_mut(number) {
            *slot = Some(server);
        }
        Ok(())
    }
}

/// Address of the service.
pub const VIP: IpAddr = front4(50);
/// The first web server in the table.
pub const WEB1: &str = "10.78.0.11:80 weight 1";
/// The second.
pub const WEB2: &str = "10.78.0.12:80 weight 1";
const WEB: [&str; 2] = ["web1", "web2"];
