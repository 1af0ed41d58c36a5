"""Peers that pass on what they read to a plain connection: tunnels, and proxies that end TLS."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from .peer import Peer, program
from .ports import free_port
from .setting import REQUEST, Setting
from .user import accepting, dialling

__all__ = ["HTTP_PROXIES", "RELAYS", "configured", "haproxy", "nginx"]


def configured(setting: Setting, text: str) -> Path:
    """A file with the configuration *text*."""
    path = setting.folder / "configuration"
    path.write_text(text)
    return path


def _socat(setting: Setting) -> Future[int]:
    port, theirs = accepting(setting)
    files = setting.credentials
    if setting.side == "server":
        first = (
            f"OPENSSL-LISTEN:{setting.port},bind=127.0.0.1,reuseaddr,verify=0,"
            f"cert={files / 'certificate.pem'},key={files / 'key.pem'}"
        )
    else:
        first = f"OPENSSL:localhost:{setting.port},pf=ip4,cafile={files / 'ca.pem'}"
    # By itself it waits for half a second after one end, and not for the other.
    program(setting, "socat", "-t", "60", first, f"TCP:127.0.0.1:{port}")
    return theirs


def _stunnel(setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        port, theirs = accepting(setting)
        service = f"""
            accept = 127.0.0.1:{setting.port}
            connect = 127.0.0.1:{port}
            cert = {files / "certificate.pem"}
            key = {files / "key.pem"}
        """
    else:
        port = free_port()
        theirs = dialling(setting, port)
        service = f"""
            client = yes
            accept = 127.0.0.1:{port}
            connect = 127.0.0.1:{setting.port}
            verifyChain = yes
            CAfile = {files / "ca.pem"}
            checkHost = localhost
            sni = localhost
        """
    path = configured(setting, f"foreground = quiet\npid =\n[service]\n{service}")
    program(setting, "stunnel", path)
    return theirs


def nginx(setting: Setting, servers: str) -> None:
    """Start nginx with *servers*, blocks ``stream`` or ``http`` of its configuration."""
    module = f"load_module {_STREAM};" if servers.startswith("stream") else ""
    path = configured(
        setting,
        f"""
            {module}
            daemon off;
            master_process off;
            pid {setting.folder}/pid;
            error_log {setting.folder}/said;
            events {{}}
            {servers}
        """,
    )
    program(setting, _NGINX, "-c", path, "-p", setting.folder, "-e", setting.folder / "said")


_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


def _nginx_stream(setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        port, theirs = accepting(setting)
        server = f"""
            listen 127.0.0.1:{setting.port} ssl;
            ssl_certificate {files}/certificate.pem;
            ssl_certificate_key {files}/key.pem;
            ssl_protocols TLSv1.2 TLSv1.3;
            proxy_pass 127.0.0.1:{port};
        """
    else:
        port = free_port()
        theirs = dialling(setting, port)
        server = f"""
            listen 127.0.0.1:{port};
            proxy_pass 127.0.0.1:{setting.port};
            proxy_ssl on;
            {_proxy_ssl(files)}
        """
    nginx(setting, f"stream {{ server {{ proxy_half_close on; {server} }} }}")
    return theirs


def _proxy_ssl(files: Path) -> str:
    return f"""
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {files}/ca.pem;
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
    """


def _nginx_http(setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        port, theirs = accepting(setting, http=True)
        server = f"""
            listen 127.0.0.1:{setting.port} ssl;
            ssl_certificate {files}/certificate.pem;
            ssl_certificate_key {files}/key.pem;
            ssl_protocols TLSv1.2 TLSv1.3;
            location / {{ proxy_pass http://127.0.0.1:{port}; }}
        """
    else:
        port = free_port()
        theirs = dialling(setting, port, http=True)
        server = f"""
            listen 127.0.0.1:{port};
            location / {{
                proxy_pass https://127.0.0.1:{setting.port};
                {_proxy_ssl(files)}
            }}
        """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {setting.folder}/{kind};" for kind in kinds)
    nginx(setting, f"http {{ access_log off; {folders} server {{ {server} }} }}")
    return theirs


def haproxy(setting: Setting, mode: str, bind: str, server: str) -> None:
    """Start haproxy as a proxy.

    :param mode: ``tcp`` or ``http``.
    :param bind: where it listens.
    :param server: where it connects.
    """
    path = configured(
        setting,
        f"""
defaults
    mode {mode}
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend in
    bind {bind}
    default_backend out
backend out
    server one {server}
""",
    )
    program(setting, _HAPROXY, "-f", path)


_HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


def _haproxy(mode: str, setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        port, theirs = accepting(setting)
        bind = f"127.0.0.1:{setting.port} ssl crt {files}/both.pem"
        haproxy(setting, mode, bind, f"127.0.0.1:{port}")
    else:
        port = free_port()
        theirs = dialling(setting, port, http=mode == "http")
        check = f"ssl verify required ca-file {files}/ca.pem sni str(localhost)"
        haproxy(setting, mode, f"127.0.0.1:{port}", f"127.0.0.1:{setting.port} {check}")
    return theirs


RELAYS = (
    Peer("socat", ("socat",), "socat", _socat, ("socat", "-V")),
    Peer("stunnel", ("stunnel",), "stunnel4", _stunnel, ("stunnel", "-version")),
    Peer("haproxy", ("haproxy",), "haproxy", partial(_haproxy, "tcp"), ("haproxy", "-v")),
    Peer(
        "nginx, stream",
        ("nginx", _STREAM),
        "nginx libnginx-mod-stream",
        _nginx_stream,
        ("nginx", "-v"),
    ),
)

HTTP_PROXIES = (
    Peer(
        "haproxy, http",
        ("haproxy",),
        "haproxy",
        partial(_haproxy, "http"),
        ("haproxy", "-v"),
        # As a server it may leave our close_notify unread, and then reset the connection.
        does=(("client", "asks"),),
        http=True,
        question=REQUEST,
    ),
    Peer(
        "nginx, http",
        ("nginx",),
        "nginx",
        _nginx_http,
        ("nginx", "-v"),
        does=(("server", "answers"), ("client", "asks")),
        http=True,
        question=REQUEST,
    ),
)
