"""The web page of the queue: on localhost, and within MCP clients that show pages.

`page.html`, `page.css`, `page.js` (which draws) and `source.js` (which fetches the numbers) become one
document that loads nothing from elsewhere.
"""
