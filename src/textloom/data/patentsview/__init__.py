"""PatentsView's tables at USPTO's Open Data Portal: metadata, download, streaming, selection."""
