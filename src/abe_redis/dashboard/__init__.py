"""The web page of the queue: on localhost, and within MCP clients that show pages.

`page.html`, `page.css`, `draw.js` (draws) and `fetch.js` (fetches the numbers) become one
document that loads nothing from elsewhere.
"""
