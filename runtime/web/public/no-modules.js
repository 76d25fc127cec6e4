// For browsers without modules, which read nothing else of the page: old syntax only.
document.getElementById("status").textContent =
  "This browser is too old for this page. Use Chrome 111, Firefox 121, Safari 16.4, or a newer " +
  "version.";
