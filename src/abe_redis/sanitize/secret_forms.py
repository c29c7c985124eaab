"""Secrets that are known by their form, whatever stands around them.

The forms are those that the services document and that gitleaks (MIT licence, https://github.com/gitleaks/gitleaks)
and detect-secrets (Apache 2.0) look for; the expressions are our own. Each takes time proportional to the
length of the text: its repetitions are possessive or bounded.
"""

import re
from collections.abc import Iterator

from abe_redis.sanitize.deferred import deferred

# A slash, also as JSON, and JSON within JSON, escape it.
SLASH = r"\\{0,4}/"

_WEB = rf"(?:https?:{SLASH}{SLASH})?"
_PATH = rf"(?::\d{{1,5}})?(?:{SLASH}|%2f)(?:[^\s\"'<>|\\]|{SLASH})++"
"""From a host's port to the end of the URL: anyone who has all of it may use it."""
_ALONE = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_PARTS = r"(?:\.[\w-]++){0,4}+"

_FORMS: tuple[tuple[str, str], ...] = (
    # Slack: bot, user, refresh and configuration tokens, the cookie; app and workflow tokens.
    ("xox", r"(?i:xox[a-z](?:\.[a-z]{3,8})?-[\w%+/=-]{8,}+)"),
    ("xapp-", r"(?i:xapp-[\w%+/=-]{8,}+)"),
    ("xwfp-", r"(?i:xwfp-[\w%+/=-]{8,}+)"),
    # AWS
    *((start.lower(), rf"{_ALONE}{start}[A-Z0-9]{{16}}{_END}") for start in ("AKIA", "ASIA", "ABIA", "ACCA")),
    ("a3t", rf"{_ALONE}A3T[A-Z0-9]{{17}}{_END}"),
    ("absk", rf"{_ALONE}ABSK[A-Za-z0-9+/]{{80,}}+={{0,2}}"),
    # GitHub, GitLab, Bitbucket, Atlassian
    *((f"gh{kind}_", rf"{_ALONE}gh{kind}_\w{{30,}}+{_PARTS}") for kind in "pousr"),
    ("github_pat_", rf"{_ALONE}github_pat_\w{{22,}}+"),
    ("gl", rf"{_ALONE}gl(?:pat|cbt|dt|ft|imt|agent|oas|ptt|rt|rtr|soat|ffct|wt)-[\w-]{{20,}}+{_PARTS}"),
    ("gr1348941", rf"{_ALONE}GR1348941[\w-]{{20,}}+"),
    ("at", rf"{_ALONE}AT(?:ATT|CTT|BBB?|SS)[A-Za-z0-9_=+/-]{{24,}}+"),
    # Models
    ("sk-", rf"{_ALONE}sk-(?:ant|proj|svcacct|admin|or|lf|None)-[\w-]{{16,}}+"),
    ("sk-", rf"{_ALONE}sk-[A-Za-z0-9]{{20,}}+"),
    ("hf_", rf"{_ALONE}hf_[A-Za-z0-9]{{30,}}+"),
    ("gsk_", rf"{_ALONE}gsk_[A-Za-z0-9]{{40,}}+"),
    ("xai-", rf"{_ALONE}xai-[A-Za-z0-9]{{40,}}+"),
    ("pplx-", rf"{_ALONE}pplx-[A-Za-z0-9]{{40,}}+"),
    ("r8_", rf"{_ALONE}r8_[A-Za-z0-9]{{35,}}+"),
    # Money
    ("_", rf"{_ALONE}(?:sk|rk|pk)_(?:test|live|prod)_[A-Za-z0-9]{{10,}}+"),
    ("whsec_", rf"{_ALONE}whsec_[A-Za-z0-9+/=]{{20,}}+"),
    ("sq0", rf"{_ALONE}sq0[a-z]{{3}}-[\w-]{{22,}}+"),
    ("eaaa", rf"{_ALONE}EAAA[\w-]{{40,}}+"),
    ("access_token$", rf"{_ALONE}access_token\$(?:production|sandbox)\$\w{{16}}\$[0-9a-f]{{32}}"),
    ("shp", rf"{_ALONE}shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{{32}}"),
    # Google
    ("aiza", rf"{_ALONE}AIza[\w-]{{35,}}+"),
    ("gocspx-", rf"{_ALONE}GOCSPX-[\w-]{{24,}}+"),
    ("ya29.", rf"{_ALONE}ya29\.[\w-]{{20,}}+{_PARTS}"),
    ("1//0", rf"{_ALONE}1//0[\w-]{{20,}}+"),
    # Packages, containers, builds
    ("npm_", rf"{_ALONE}npm_[A-Za-z0-9]{{36,}}+"),
    ("pypi-", rf"{_ALONE}pypi-Ag[\w-]{{30,}}+"),
    ("rubygems_", rf"{_ALONE}rubygems_[a-f0-9]{{48}}"),
    ("cio", rf"{_ALONE}cio[A-Za-z0-9]{{32}}{_END}"),
    ("dckr_", rf"{_ALONE}dckr_[op]at_[\w-]{{20,}}+"),
    ("ccipat_", rf"{_ALONE}CCIPAT_\w{{20,}}+"),
    ("bkua_", rf"{_ALONE}bkua_[a-f0-9]{{40}}"),
    ("oy2", rf"{_ALONE}oy2[a-z0-9]{{43}}{_END}"),
    # Clouds and their tools
    ("do", rf"{_ALONE}do[opr]_v1_[a-f0-9]{{64}}"),
    ("q~", r"(?<![A-Za-z0-9.~-])[\w.~]{3}\dQ~[\w.~-]{31,34}"),
    ("azdo", rf"{_ALONE}[A-Za-z0-9]{{76}}AZDO[A-Za-z0-9]{{4}}{_END}"),
    ("hrku-", rf"{_ALONE}HRKU-[\w-]{{36,}}+"),
    ("s.", rf"(?<![A-Za-z0-9.])s\.(?=[A-Za-z]*\d)[A-Za-z0-9]{{24}}{_END}"),
    ("pul-", rf"{_ALONE}pul-[a-f0-9]{{40}}"),
    ("dt0", rf"{_ALONE}dt0[a-z]\d{{2}}\.[A-Z0-9]{{24}}\.[A-Z0-9]{{64}}"),
    ("hv", rf"{_ALONE}hv[sbr]\.[\w-]{{20,}}+"),
    (".atlasv1.", rf"{_ALONE}[A-Za-z0-9]{{14}}\.atlasv1\.[\w-]{{50,}}+"),
    ("dapi", rf"{_ALONE}dapi[a-f0-9]{{32}}(?:-\d)?{_END}"),
    ("dp.", rf"{_ALONE}dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{{30,}}+"),
    ("pscale_", rf"{_ALONE}pscale_(?:tkn|pw|oauth)_[\w.=-]{{30,}}+"),
    ("sbp_", rf"{_ALONE}sbp_[a-f0-9]{{40}}"),
    ("sb_secret_", rf"{_ALONE}sb_secret_[\w-]{{20,}}+"),
    ("tskey-", rf"{_ALONE}tskey-[a-z]{{2,12}}-[\w-]{{10,}}+"),
    ("ops_eyj", rf"{_ALONE}ops_eyJ[\w=+/-]{{40,}}+"),
    ("age-secret-key-", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}+"),
    ("ltai", r"LTAI[A-Za-z0-9]{20}"),
    ("nfp_", rf"{_ALONE}nfp_\w{{36,}}+"),
    ("vc", rf"{_ALONE}vc[a-z]_[A-Za-z0-9]{{24,}}+"),
    ("fly", rf"{_ALONE}(?:FlyV1 )?fm[12][ar]?_[\w+/=-]{{60,}}+"),
    # Mail, chat, work
    ("sg.", rf"{_ALONE}SG\.[\w-]{{16,}}+\.[\w-]{{16,}}+"),
    ("sk", rf"{_ALONE}SK[0-9a-f]{{32}}{_END}"),
    ("-us", rf"{_ALONE}[0-9a-f]{{32}}-us\d{{1,2}}{_END}"),
    ("key-", rf"{_ALONE}key-[0-9a-f]{{32}}{_END}"),
    (":", rf"{_ALONE}\d{{8,10}}:[\w-]{{35}}{_END}"),
    (".", rf"{_ALONE}[MNO][\w-]{{23,27}}\.[\w-]{{6}}\.[\w-]{{27,45}}{_END}"),
    ("lin_", rf"{_ALONE}lin_(?:api|oauth)_[A-Za-z0-9]{{32,}}+"),
    ("ntn_", rf"{_ALONE}ntn_[A-Za-z0-9]{{40,}}+"),
    ("figd_", rf"{_ALONE}figd_[\w-]{{38,}}+"),
    ("pat", rf"{_ALONE}pat[A-Za-z0-9]{{14}}\.[a-f0-9]{{64}}"),
    ("pmak-", rf"{_ALONE}PMAK-[a-f0-9]{{24}}-[a-f0-9]{{34}}"),
    ("sntry", rf"{_ALONE}sntry[su]_[\w+/=-]{{40,}}+"),
    ("gl", rf"{_ALONE}gl(?:sa|c)_[\w+/=-]{{32,}}+"),
    ("nr", rf"{_ALONE}NR(?:AK|II|IQ|AA|RA|JS|AL)-[A-Za-z0-9_-]{{19,}}+"),
    ("lsv2_", rf"{_ALONE}lsv2_(?:pt|sk)_[a-f0-9]{{32}}_[a-f0-9]{{10}}"),
    ("sq", rf"{_ALONE}sq[apu]_[a-f0-9]{{40}}"),
    (":apa91b", rf"{_ALONE}[\w-]{{11,22}}:APA91b[\w-]{{60,}}+"),
    ("eaa", rf"{_ALONE}EAA[A-Za-z0-9]{{80,}}+"),
    ("private-lines", r"(?<=Private-Lines: )\d{1,3}(?:\s|\\n)(?:[A-Za-z0-9+/=\s]|\\n)*+(?=Private-MAC)"),
    ("secret_", rf"{_ALONE}secret_[A-Za-z0-9]{{43}}{_END}"),
    # JSON Web Tokens, signed and encrypted
    ("ey", rf"{_ALONE}ey[AIJ][\w-]{{8,}}+(?:\.[\w-]*+){{2,4}}"),
    # Addresses that anyone who has them may use
    ("hooks.slack", rf"(?i:{_WEB}hooks\.slack(?:-gov)?\.com\.?{_PATH})"),
    ("slack", rf"(?i:{_WEB}join\.slack(?:-gov)?\.com\.?{_PATH})"),
    ("slack", rf"(?i:slack(?:-gov)?\.com\.?(?::\d{{1,5}})?{SLASH}join{_PATH})"),
    ("slack-files.com", rf"(?i:{_WEB}slack-files(?:-gov)?\.com\.?{_PATH})"),
    ("discord", rf"(?i:{_WEB}discord(?:app)?\.com/api/(?:v\d{{1,2}}/)?webhooks{_PATH})"),
    ("api.telegram.org", rf"(?i:api\.telegram\.org{SLASH}(?:file{SLASH})?bot[\w:%-]{{20,}}+)"),
    ("webhook.office.com", rf"(?i:webhook\.office\.com{_PATH})"),
    ("hooks.zapier.com", rf"(?i:hooks\.zapier\.com{_PATH})"),
)

_MATCHERS = tuple((anchor, deferred(form)) for anchor, form in _FORMS)

_PEM = deferred(r"-----BEGIN [\w ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.IGNORECASE)
_PEM_END = deferred(r"-----END [\w ]{0,60}-----", re.IGNORECASE)
_PEM_BODY = deferred(r"(?:[A-Za-z0-9+/=\s]|\\{1,8}[nr])*+")


def found_by_form(text: str, folded: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets of known forms.

    Args:
        text: Where to look.
        folded: The same in small letters, in which each form has a few letters that say whether to look.
    """
    for anchor, matcher in _MATCHERS:
        if anchor in folded:
            for match in matcher.finditer(text):
                yield match.span()
    if "-----begin" in folded:
        yield from _private_keys(text)


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """From each BEGIN to its END; without one, as far as what follows could be a key."""
    ends = [match.end() for match in _PEM_END.finditer(text)]
    nearest = 0
    for begin in _PEM.finditer(text):
        while nearest < len(ends) and ends[nearest] <= begin.end():
            nearest += 1
        if nearest < len(ends):
            yield begin.start(), ends[nearest]
        else:
            body = _PEM_BODY.match(text, begin.end())
            yield begin.start(), body.end() if body else begin.end()
